"""LiveChat's Agent Chat API v3.5: implements `activities.ports.LiveChat`."""

from datetime import timedelta
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from adapters.http import TIMEOUT, TokenSource, VendorClient
from domain.errors import Permanent

VENDOR = "LiveChat"

_TRY_LATER = frozenset({"too-many-requests", "service-unavailable", "pending-requests-limit-reached"})


class _Thread(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)
    id: str
    tags: list[str] = []  # left out by LiveChat while there are none


class _Chat(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)
    id: str
    thread: _Thread


class LiveChatDesk:
    """Reads and tags threads. A personal access token takes the scheme Basic, a European account region `fra`."""

    def __init__(
        self,
        base_url: str,
        token: str | TokenSource,
        *,
        scheme: Literal["Bearer", "Basic"] = "Bearer",
        region: str = "",
        timeout: timedelta = TIMEOUT,
    ) -> None:
        self._client = VendorClient(
            VENDOR,
            f"{base_url.rstrip('/')}/v3.5/agent/action",
            token,
            timeout=timeout,
            scheme=scheme,
            headers={"x-region": region} if region else None,
            code_of=lambda body: body["error"]["type"],
            try_later=_TRY_LATER,
        )

    async def aclose(self) -> None:
        await self._client.aclose()

    async def tags(self, chat_id: str, thread_id: str) -> tuple[str, ...]:
        """The tags on a thread. Permanent `not-found` if there is no such chat or thread."""
        body = {"chat_id": chat_id, "thread_id": thread_id}
        answer: Any = await self._client.json("reads", "POST", "/get_chat", body=body)
        try:
            chat = _Chat.model_validate(answer)
        except ValidationError:
            self._client.bad_answer("reads")
        if (chat.id, chat.thread.id) != (chat_id, thread_id):
            self._client.bad_answer("reads")
        return tuple(chat.thread.tags)

    async def tag(self, chat_id: str, thread_id: str, tag: str) -> None:
        """Puts a tag on a thread; a tag already there is a success."""
        body = {"chat_id": chat_id, "thread_id": thread_id, "tag": tag}
        try:
            await self._client.call("writes", "POST", "/tag_thread", body=body)
        except Permanent:
            # What LiveChat says to a second tagging is not documented; whether the tag is there, is.
            if tag not in await self.tags(chat_id, thread_id):
                raise
