"""What stands before the API: sizes, and text as it has to be. What comes through is one JSON value, or nothing."""

import json
import unicodedata
from collections.abc import Callable
from typing import Any, cast
from urllib.parse import parse_qsl, unquote_to_bytes

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from starter.api.problems import ProblemError, respond

MOST_BYTES = 1_000_000
MOST_QUERY = 8_000
_DEEPEST = 40
_READING = {"GET", "HEAD", "OPTIONS"}
HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
}


class Guard:
    """`base` is the address that the API is reached at; `methods` says what there is at a path."""

    def __init__(self, app: ASGIApp, base: str, methods: Callable[[Scope], set[str]]) -> None:
        self._app, self._base, self._methods = app, base, methods

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        answer = _with_headers(send, state.setdefault("headers", {}))
        try:
            early = await self._before(scope, receive)
        except ProblemError as problem:
            early = respond(problem, self._base)
        if isinstance(early, Response):
            await early(scope, receive, answer)
            return
        if scope["method"] == "HEAD":  # answered as GET; the server leaves the body out
            scope = {**scope, "method": "GET"}
        await self._app(scope, _replay(early), answer)

    async def _before(self, scope: Scope, receive: Receive) -> Response | bytes:
        """The body as it goes on, or an answer that needs nobody else."""
        _readable(scope)
        if scope["method"] == "OPTIONS":
            return self._options(scope)
        headers = Headers(scope=scope)
        body = await _read(headers, receive)
        if scope["method"] in _READING or not (body or scope["method"] == "POST"):
            return b""
        taken = scope["method"] == "POST" and "POST" in self._methods(scope)  # else it is the method that is wrong
        return _json(headers, body) if taken else b""

    def _options(self, scope: Scope) -> Response:
        methods = self._methods(scope)
        if not methods:
            raise ProblemError("not-found")
        return Response(status_code=204, headers={"Allow": allow(methods)})


def allow(methods: set[str]) -> str:
    return ", ".join(sorted({*methods, "OPTIONS", *({"HEAD"} if "GET" in methods else set[str]())}))


def _readable(scope: Scope) -> None:
    raw = scope.get("raw_path") or scope["path"].encode()
    query = scope.get("query_string", b"")
    if len(query) + len(raw) > MOST_QUERY:
        raise ProblemError("address-too-long", "This address is longer than any that is needed here.")
    for part in (raw, query.replace(b"+", b" ")):
        plain = unquote_to_bytes(part)
        try:
            plain.decode()
        except UnicodeDecodeError:
            raise ProblemError("unreadable-text", "The address is not UTF-8.") from None
        if b"\0" in plain:
            raise ProblemError("unreadable-text", "The address holds a NUL.")
    names = [name for name, _ in parse_qsl(query.decode("latin-1"), keep_blank_values=True)]
    if len(set(names)) != len(names):
        raise ProblemError("bad-query", "The query names a parameter twice.")


async def _read(headers: Headers, receive: Receive) -> bytes:
    length = headers.get("content-length", "0")
    if not length.isdecimal():
        raise ProblemError("broken-request", "Content-Length is no number.")
    if int(length) > MOST_BYTES:
        raise ProblemError("too-large", "The body is larger than 1 MB.")
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ProblemError("broken-request", "The connection ended before the body did.")
        body, more = body + message.get("body", b""), message.get("more_body", False)
        if len(body) > MOST_BYTES:
            raise ProblemError("too-large", "The body is larger than 1 MB.")
    return body


def _json(headers: Headers, body: bytes) -> bytes:
    """The body once more, as every reader takes it the same way. Raises ProblemError."""
    kind, _, more = headers.get("content-type", "").partition(";")
    charset = more.strip().lower() in {"", "charset=utf-8", 'charset="utf-8"'}
    if (
        kind.strip().lower() != "application/json"
        or not charset
        or headers.get("content-encoding", "identity") != "identity"
    ):
        raise ProblemError("not-json", "The body is not said to be plain JSON in UTF-8.")
    try:
        text = body.decode()
        value = json.loads(text, object_pairs_hook=_once, parse_constant=_refuse)
        return json.dumps(_clean(value, 0), ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError) as error:
        why = str(error) if isinstance(error, _MisformedError) else "The body is not JSON in UTF-8."
        raise ProblemError("broken-json", why) from None


class _MisformedError(ValueError):
    """JSON that readers would take in different ways."""


def _once(found: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(found)
    if len(made) != len(found):
        raise _MisformedError("An object of the body names the same field twice.")
    return made


def _refuse(_: str) -> object:
    raise _MisformedError("NaN and Infinity are not JSON.")


def _clean(value: object, depth: int) -> object:
    """NFC, without NUL and surrogates, of a sensible depth. Raises ProblemError or ValueError."""
    if depth > _DEEPEST:
        raise _MisformedError("The body is nested too deeply.")
    match value:
        case str():
            return _text(value)
        case dict():
            pairs = cast("dict[str, object]", value).items()
            return _once([(_text(name), _clean(item, depth + 1)) for name, item in pairs])
        case list():
            return [_clean(one, depth + 1) for one in cast("list[object]", value)]
        case _:
            return value


def _text(text: str) -> str:
    if "\0" in text or any("\ud800" <= one <= "\udfff" for one in text):
        raise ProblemError("unreadable-text", "A text of the body holds a NUL or a broken character.")
    return unicodedata.normalize("NFC", text)


def _replay(body: bytes) -> Receive:
    """What was read, once more."""
    given = False

    async def receive() -> Message:
        nonlocal given
        if given:
            return {"type": "http.disconnect"}
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


def _with_headers(send: Send, more: dict[str, str]) -> Send:
    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in {**HEADERS, **more}.items():
                headers.setdefault(name, value)
        await send(message)

    return sent
