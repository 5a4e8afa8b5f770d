"""What stands before every page: the host, the size and the origin of a request, and the headers of the answer."""

from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MOST_BYTES = 30_000_000
TOO_LARGE = "That is larger than these pages take: 30 MB."
_READING = {"GET", "HEAD"}
_METHODS = _READING | {"POST"}

# `same-origin` and not `no-referrer`: under that, browsers send `Origin: null` with our own forms. Nothing leaves us.
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; font-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=()",
    "Cache-Control": "no-store",
}


class TooLargeError(Exception):
    """The body of a request goes beyond what any form here needs."""


class Guard:
    """`web_url` is the one address these pages are opened at."""

    def __init__(self, app: ASGIApp, web_url: str) -> None:
        self._app, self._url = app, web_url
        parts = urlsplit(web_url)
        self._host, self._origin = parts.netloc, f"{parts.scheme}://{parts.netloc}"
        self._headers = HEADERS | ({"Strict-Transport-Security": "max-age=31536000"} if parts.scheme == "https" else {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if scope["method"] == "HEAD":  # answered as GET; the server leaves the body out
            scope = {**scope, "method": "GET"}
        await (refusal or self._app)(scope, _bounded(receive), self._with_headers(send))

    def _refusal(self, scope: Scope) -> ASGIApp | None:
        headers, method = Headers(scope=scope), scope["method"]
        if method not in _METHODS:
            return PlainTextResponse("These pages are read, and forms are sent.", 405)
        if headers.get("host") != self._host:
            if method in _READING:
                return RedirectResponse(self._url + scope["path"], 307)
            return PlainTextResponse("These pages are not at this address.", 421)
        if method == "POST" and headers.get("origin") != self._origin:
            return PlainTextResponse("This form was not sent from these pages: nothing was done.", 403)
        length = headers.get("content-length", "0")
        too_large = not length.isdecimal() or int(length) > MOST_BYTES
        return PlainTextResponse(TOO_LARGE, 413) if too_large else None

    def _with_headers(self, send: Send) -> Send:
        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
            await send(message)

        return sent


def _bounded(receive: Receive) -> Receive:
    """What comes in, until it is more than announced or allowed."""
    seen = 0

    async def received() -> Any:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > MOST_BYTES:
            raise TooLargeError
        return message

    return received
