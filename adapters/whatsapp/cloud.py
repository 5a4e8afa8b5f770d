"""Meta's WhatsApp Cloud API: implements `activities.ports.WhatsApp`."""

import re
from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from adapters.http import TIMEOUT, TokenSource, VendorClient
from adapters.whatsapp.codes import NEVER, TRY_LATER, word
from domain.errors import Permanent

VENDOR = "WhatsApp"
VERSION = "v23.0"

_LONGEST_TEXT = 4096
_LONGEST_PARAMETER = 1024
_LONGEST_MARKER = 512
_NUMBER = re.compile(r"[1-9][0-9]{5,14}")
_TEMPLATE = re.compile(r"[a-z0-9_]{1,512}")
_LANGUAGE = re.compile(r"[a-z]{2,3}(_[A-Z]{2,3})?")


class _Wire(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)


class _Taken(_Wire):
    id: Annotated[str, Field(pattern=r"^[!-~]{1,256}$")]


class _Answer(_Wire):
    messages: Annotated[list[_Taken], Field(min_length=1, max_length=1)]


class WhatsAppCloud:
    """Writes from one business number (`phone_id` is Meta's id of it, digits).

    Success means that Meta took the message, not that it arrived. `marker` comes back in the status webhooks of the
    message, so that a sending whose answer was lost can still be known to have happened.
    """

    def __init__(self, base_url: str, phone_id: str, token: str | TokenSource, *, timeout: timedelta = TIMEOUT) -> None:
        if not re.fullmatch(r"[0-9]{1,32}", phone_id):
            raise ValueError(f"{VENDOR}: the id of our phone number is digits")
        self._client = VendorClient(
            VENDOR,
            f"{base_url.rstrip('/')}/{VERSION}/{phone_id}",
            token,
            timeout=timeout,
            code_of=lambda body: word(body["error"]["code"]),
            try_later=TRY_LATER,
            never=NEVER,
        )

    async def aclose(self) -> None:
        await self._client.aclose()

    async def send_text(self, to: str, text: str, marker: str = "") -> str:
        """Free text to a number that wrote in the last 24 hours; returns the wamid.

        Raises Permanent `window-closed` if it did not, and `bad-number`, `no-text`, `text-too-long` or `bad-marker`
        before anything is sent.
        """
        if not text.strip():
            raise Permanent(VENDOR, "no-text", "there is nothing to send")
        if len(text) > _LONGEST_TEXT:
            raise Permanent(VENDOR, "text-too-long", f"a message has at most {_LONGEST_TEXT} characters")
        return await self._send(to, marker, {"type": "text", "text": {"preview_url": False, "body": text}})

    async def send_template(
        self, to: str, template: str, language: str, parameters: Sequence[str], marker: str = ""
    ) -> str:
        """An approved template, its body's parameters in order; returns the wamid. Line breaks in them become spaces,
        for Meta takes none.

        Raises Permanent `no-template` or `template-parameters` if Meta knows none like it.
        """
        if not _TEMPLATE.fullmatch(template) or not _LANGUAGE.fullmatch(language):
            raise Permanent(VENDOR, "no-template", "this is no name or no language of a template")
        chosen: dict[str, object] = {"name": template, "language": {"policy": "deterministic", "code": language}}
        if parameters:
            filled = [{"type": "text", "text": _parameter(one)} for one in parameters]
            chosen["components"] = [{"type": "body", "parameters": filled}]
        return await self._send(to, marker, {"type": "template", "template": chosen})

    async def _send(self, to: str, marker: str, message: dict[str, object]) -> str:
        if not _NUMBER.fullmatch(to):
            raise Permanent(VENDOR, "bad-number", "a number is 6 to 15 digits, the country's first")
        if len(marker) > _LONGEST_MARKER or not (marker.isascii() and marker.isprintable()):
            raise Permanent(VENDOR, "bad-marker", f"a marker is at most {_LONGEST_MARKER} printable characters")
        body = {"messaging_product": "whatsapp", "recipient_type": "individual", "to": to, **message}
        if marker:
            body["biz_opaque_callback_data"] = marker
        answer = await self._client.json("writes", "POST", "/messages", body=body)
        try:
            return _Answer.model_validate(answer).messages[0].id
        except ValidationError:
            self._client.bad_answer("writes")


def _parameter(text: str) -> str:
    one_line = " ".join(text.split())
    if not one_line or len(one_line) > _LONGEST_PARAMETER:
        raise Permanent(
            VENDOR, "template-parameters", f"a template's parameter has 1 to {_LONGEST_PARAMETER} characters"
        )
    return one_line
