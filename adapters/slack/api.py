"""Slack's own client, with what it does by itself switched off: retries, redirects, proxies and talkative logs.

Slack answers 200 to nearly everything; whether it did something stands in `ok` and `error`. Messages of errors name
that error, never a text, an address or an id.
"""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Any, NoReturn, TypeVar, cast

import aiohttp
from pydantic import BaseModel, ValidationError
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from adapters.http import TIMEOUT, Does, either, is_safe, retry_after
from domain.errors import Permanent, Retryable, VendorError

VENDOR = "Slack"

_CONNECT = timedelta(seconds=5)
_OK, _TOO_MANY, _REQUEST_TIMEOUT, _SERVER_TROUBLE = 200, 429, 408, 500
_TRY_LATER = frozenset(
    {"ratelimited", "rate_limited", "service_unavailable", "request_timeout", "team_added_to_org"}
    | {"message_limit_exceeded"}
)
_UNAUTHORISED = frozenset({"not_authed", "invalid_auth", "account_inactive", "token_expired", "token_revoked"})
_PERHAPS_DONE = frozenset({"internal_error", "fatal_error"})  # "some aspect of the operation" may have succeeded

Answer = TypeVar("Answer", bound=BaseModel)
Call = Callable[..., Awaitable[Any]]


class _RedirectedError(Exception):
    """A redirect would carry the message to another address."""


class _CutOffError(Exception):
    """The connection broke. Named so that aiohttp, which reads once more by itself, does not know it."""


class SlackApi:
    """One workspace's Web API. `base_url` is `https://slack.com` or a stand-in; `timeout` bounds one call.

    Raises ValueError if the address would send the token in the clear to another machine.
    """

    def __init__(self, base_url: str, token: str, *, timeout: timedelta = TIMEOUT) -> None:
        if not is_safe(base_url):
            raise ValueError(f"{VENDOR}: the address must be https, or on this machine")
        self.timeout = timeout
        quiet = logging.getLogger("holdfast.slack")
        quiet.setLevel(logging.WARNING)  # at DEBUG the client writes out whole messages
        self.web = AsyncWebClient(token, f"{base_url.rstrip('/')}/api/", logger=quiet, retry_handlers=[])
        self.web.proxy = None  # the client takes one from the environment

    async def aclose(self) -> None:
        if self.web.session is not None:
            await self.web.session.close()

    async def call(self, does: Does, shape: type[Answer], method: str, **arguments: object) -> Answer:
        """Calls a method of Slack's client and reads its answer.

        Raises Retryable, Permanent, or (only if it writes) Unclear.
        """
        self._open()
        told = await self._made(does, cast("Call", getattr(self.web, method))(**arguments))
        try:
            return shape.model_validate(told)
        except ValidationError:
            self.bad_answer(does)

    def bad_answer(self, does: Does) -> NoReturn:
        """For an answer of success that does not say what it should."""
        raise either(does)(VENDOR, "bad-answer", "said yes, but its answer cannot be read") from None

    async def _made(self, does: Does, call: Awaitable[Any]) -> object:
        try:
            async with asyncio.timeout(self.timeout.total_seconds()):
                return (await call).data
        except SlackApiError as error:
            raise self._refusal(does, cast("Any", error).response) from None
        except _RedirectedError:
            raise Permanent(VENDOR, "redirected", "points elsewhere; check its address") from None
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
            raise Retryable(VENDOR, "unreachable", "cannot be reached; it is tried again") from None
        except TimeoutError:
            raise either(does)(VENDOR, "timeout", "did not answer in time") from None
        except (OSError, aiohttp.ClientError, _CutOffError):
            raise either(does)(VENDOR, "cut-off", "the connection broke") from None
        except (AttributeError, TypeError, ValueError, RecursionError):
            self.bad_answer(does)  # the client expects an object in every answer

    def _open(self) -> None:
        if self.web.session is None:
            seconds = self.timeout.total_seconds()
            self.web.session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=seconds, sock_connect=min(seconds, _CONNECT.total_seconds())),
                cookie_jar=aiohttp.DummyCookieJar(),
                middlewares=(_once,),
            )

    def _refusal(self, does: Does, response: object) -> VendorError:
        status, headers, told = _read(response)
        if status == _OK and told.get("ok") is not False:
            return either(does)(VENDOR, "bad-answer", "said yes, but its answer cannot be read")
        error = told.get("error")
        word = error if isinstance(error, str) and re.fullmatch(r"[a-z][a-z0-9_]{0,59}", error) else f"http-{status}"
        code = word.replace("_", "-")
        if status == _TOO_MANY or word in _TRY_LATER:
            return Retryable(VENDOR, code, f"asks to slow down ({code})", retry_after(headers))
        if word in _UNAUTHORISED:
            return Retryable(VENDOR, "unauthorised", f"refuses the token ({code}); renew it if this stays")
        if status >= _SERVER_TROUBLE or status == _REQUEST_TIMEOUT or word in _PERHAPS_DONE:
            return either(does)(VENDOR, code, f"is in trouble itself ({code})")
        return Permanent(VENDOR, code, f"refuses this ({code})")


async def _once(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Neither a second try nor a redirect."""
    try:
        response = await handler(request)
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError):
        raise _CutOffError from None
    if 300 <= response.status < 400:  # noqa: PLR2004
        response.close()
        raise _RedirectedError
    return response


def _read(response: Any) -> tuple[int, Mapping[str, str], Mapping[str, Any]]:
    """Status, headers and body of what the client could not take for a success: its own answer, or aiohttp's."""
    if isinstance(response, aiohttp.ClientResponse):
        return response.status, response.headers, {}
    body: object = response.data
    headers = {str(name).lower(): str(value) for name, value in response.headers.items()}
    return response.status_code, headers, cast("dict[str, Any]", body) if isinstance(body, dict) else {}
