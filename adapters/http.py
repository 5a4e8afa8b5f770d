"""One HTTP client per vendor: timeouts always, no retries, no redirects, every failure one of the three typed errors.

A call that only reads is never Unclear; a call that writes is Unclear whenever the request may have reached the vendor
and its answer does not settle it. Messages name the vendor, the status and the vendor's error type, never its text.
"""

import asyncio
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import cache
from ipaddress import ip_address
from ssl import SSLContext
from typing import Any, Literal, NoReturn, Protocol
from urllib.parse import urlsplit

import httpx2

from domain.errors import Permanent, Retryable, Unclear
from runtime import exact_json

TIMEOUT = timedelta(seconds=20)

Does = Literal["reads", "writes"]

_CONNECT = timedelta(seconds=5)
_LONGEST_WAIT = timedelta(days=1)
_NOT_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)
_UNSENDABLE = (httpx2.LocalProtocolError, httpx2.UnsupportedProtocol)
_UNAUTHORISED, _REQUEST_TIMEOUT, _TOO_MANY, _SERVER_TROUBLE = 401, 408, 429, 500


class TokenSource(Protocol):
    """Gives an access token that is valid now; may raise Retryable."""

    async def __call__(self) -> str: ...


class VendorClient:
    """Speaks JSON with one vendor at one address, with one credential.

    `timeout` bounds a whole call. `code_of` finds the vendor's own error type in a parsed error body ("" if none);
    `try_later` are types by which the vendor says that it did nothing and may be asked again, `never` those by which
    it says so and that asking again is no use, whatever the status; `unauthorised` is a type of its own. `wait_of`
    reads how long it asks to wait out of the headers, where that is not `Retry-After`.
    Raises ValueError if the address would send the credential in the clear to another machine.
    """

    def __init__(
        self,
        vendor: str,
        base_url: str,
        token: str | TokenSource,
        *,
        timeout: timedelta = TIMEOUT,
        scheme: Literal["Bearer", "Basic"] = "Bearer",
        headers: Mapping[str, str] | None = None,
        code_of: Callable[[Any], object] | None = None,
        try_later: frozenset[str] = frozenset(),
        never: frozenset[str] = frozenset(),
        wait_of: Callable[[Mapping[str, str]], timedelta | None] | None = None,
    ) -> None:
        if not is_safe(base_url):
            raise ValueError(f"{vendor}: the address must be https, or on this machine")
        self.vendor = vendor
        self.timeout = timeout
        self._token = token
        self._scheme = scheme
        self._code_of = code_of or _no_code
        self._try_later = try_later
        self._never = never
        self._wait_of = wait_of or retry_after
        seconds = timeout.total_seconds()
        self._client = httpx2.AsyncClient(
            base_url=base_url.rstrip("/"),
            timeout=httpx2.Timeout(seconds, connect=min(seconds, _CONNECT.total_seconds())),
            headers={"accept": "application/json", "content-type": "application/json", **(headers or {})},
            follow_redirects=False,
            trust_env=False,
            verify=_tls(),
        )

    async def aclose(self) -> None:
        await self._client.aclose()

    async def json(self, does: Does, method: str, path: str, **request: Any) -> Any:
        """The parsed answer of a successful call, fractions as Decimal; see `call`."""
        answer = await self.call(does, method, path, **request)
        try:
            return exact_json.loads(answer.content)
        except ValueError:
            self.bad_answer(does)

    async def call(
        self,
        does: Does,
        method: str,
        path: str,
        *,
        params: Mapping[str, str | int] | None = None,
        body: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx2.Response:
        """One call; `path` is already escaped. Raises Retryable, Permanent, or (only if it writes) Unclear."""
        allowed = {**await self._authorization(), **(headers or {})}
        try:
            content = None if body is None else exact_json.dumps(body)
            request = self._client.build_request(method, path, params=params, content=content, headers=allowed)
        except (ValueError, TypeError, httpx2.InvalidURL) as error:
            raise Permanent(self.vendor, "unsendable", "the request cannot be written; see what it holds") from error
        answer = await self._send(does, request)
        self._check(does, answer)
        return answer

    async def _send(self, does: Does, request: httpx2.Request) -> httpx2.Response:
        try:
            async with asyncio.timeout(self.timeout.total_seconds()):
                return await self._client.send(request)
        except _NOT_SENT as error:
            raise Retryable(self.vendor, "unreachable", "cannot be reached; it is tried again") from error
        except _UNSENDABLE as error:
            raise Permanent(self.vendor, "unsendable", "the request cannot be written; see what it holds") from error
        except (TimeoutError, OSError, httpx2.HTTPError) as error:
            self._unanswered(does, error)

    def bad_answer(self, does: Does) -> NoReturn:
        """For an answer of success that does not say what it should."""
        message = "said yes, but its answer cannot be read"
        raise either(does)(self.vendor, "bad-answer", message)

    async def _authorization(self) -> dict[str, str]:
        token = self._token if isinstance(self._token, str) else await self._token()
        return {"authorization": f"{self._scheme} {token}"}

    def _unanswered(self, does: Does, error: Exception) -> NoReturn:
        late = isinstance(error, TimeoutError | httpx2.TimeoutException)
        code, what = ("timeout", "did not answer in time") if late else ("cut-off", "the connection broke")
        raise either(does)(self.vendor, code, what) from error

    def _check(self, does: Does, answer: httpx2.Response) -> None:
        status = answer.status_code
        if answer.is_success:
            return
        code = self._code(answer)
        if status == _TOO_MANY or code in self._try_later:
            raise Retryable(self.vendor, code, f"asks to slow down ({status})", self._wait_of(answer.headers))
        if status == _UNAUTHORISED or code == "unauthorised":
            # Refused before anything was done, and access tokens are short-lived: the next one may be taken.
            raise Retryable(self.vendor, "unauthorised", f"refuses the access token ({status}); renew it if this stays")
        if answer.is_redirect or answer.is_informational:
            raise Permanent(self.vendor, "redirected", f"points elsewhere ({status}); check its address")
        if (status >= _SERVER_TROUBLE or status == _REQUEST_TIMEOUT) and code not in self._never:
            raise either(does)(self.vendor, code, f"is in trouble itself ({status})")
        raise Permanent(self.vendor, code, f"refuses this ({status}, {code})")

    def _code(self, answer: httpx2.Response) -> str:
        try:
            found = self._code_of(exact_json.loads(answer.content))
        except (ValueError, TypeError, KeyError, AttributeError):
            found = ""
        if isinstance(found, str) and re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,59}", found):
            return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", found).replace("_", "-").lower()
        return f"http-{answer.status_code}"


def retry_after(headers: Mapping[str, str]) -> timedelta | None:
    """How long the vendor asks to wait, at most a day; None if it does not say so legibly."""
    text = headers.get("retry-after", "").strip()
    if re.fullmatch(r"[0-9]{1,9}", text):
        return min(timedelta(seconds=int(text)), _LONGEST_WAIT)
    try:
        wait = parsedate_to_datetime(text) - datetime.now(UTC)
    except (ValueError, TypeError):
        return None
    return min(max(wait, timedelta(0)), _LONGEST_WAIT)


@cache
def _tls() -> SSLContext:
    return httpx2.create_ssl_context(trust_env=False)


def _no_code(_: object) -> str:
    return ""


def either(does: Does) -> type[Retryable | Unclear]:
    """The error of a call that may have arrived: Unclear only if it writes."""
    return Unclear if does == "writes" else Retryable


def is_safe(base_url: str) -> bool:
    """Whether a credential may be sent there: over https, or to this machine."""
    parts = urlsplit(base_url)
    if parts.scheme == "https":
        return bool(parts.hostname)
    if parts.scheme != "http":
        return False
    try:
        return parts.hostname == "localhost" or ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return False
