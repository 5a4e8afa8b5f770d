"""A stand-in of the identity provider: OpenID Connect on loopback, where anybody may say who they are.

It wraps oidc-provider-mock and adds what that leaves out and a real provider does: a session of its own (so that a
second sign-in is silent), `auth_time` in the ID token, `prompt` and `max_age`, and PKCE. It knows no passwords.
"""

import argparse
import csv
import secrets
import signal
import sys
import threading
import time
import warnings
from base64 import urlsafe_b64encode
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, fields
from hashlib import sha256
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qs, urlencode, urlsplit

import authlib.deprecate  # before the filter below, which it would undo
import flask
import jinja2
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server
from werkzeug.wrappers import Response

with warnings.catch_warnings():
    warnings.simplefilter("ignore", authlib.deprecate.AuthlibDeprecationWarning)
    import oidc_provider_mock
    from oidc_provider_mock._storage import AuthorizationCode

LOOPBACK = "127.0.0.1"
_COOKIE = "idp_session"
_AUTHORIZE, _TOKEN = "/oauth2/authorize", "/oauth2/token"


@dataclass(frozen=True, kw_only=True)
class StampedCode(AuthorizationCode):
    """A code that knows when its user typed the password, and what PKCE asks of whoever redeems it."""

    auth_time: int
    challenge: str

    def get_auth_time(self) -> int | None:
        return self.auth_time


@dataclass(frozen=True)
class Account:
    sub: str
    name: str


@dataclass
class IdpSimulator:
    """`issuer` is its address. `silent`: it signs in without asking whatever `prompt` says, as a broken one might."""

    accounts: Sequence[Account] = ()
    issuer: str = ""
    silent: bool = False
    sessions: dict[str, tuple[str, int]] = field(default_factory=dict[str, tuple[str, int]])

    def application(self) -> flask.Flask:
        users = [oidc_provider_mock.User(sub=one.sub, claims={"name": one.name}) for one in self.accounts]
        app = oidc_provider_mock.app(require_nonce=True, issue_refresh_token=False, user_claims=users)
        app.debug = False
        app.wsgi_app = cast("Any", app.wsgi_app).app  # without the debugger that the mock wraps around itself
        app.before_request(lambda: self._before(app))
        app.after_request(self._after)
        return app

    def _before(self, app: flask.Flask) -> Response | str | None:
        request = flask.request
        if request.path == _TOKEN:
            return _refuse_other_verifier()
        if request.path != _AUTHORIZE or request.method != "GET":
            return None
        known = self._known()
        if known is None:
            return _back("login_required") if "none" in _prompts() else self._form()
        return self._silently(app, known[0])

    def _known(self) -> tuple[str, int] | None:
        """Who is signed in here already, and since when, unless they must be asked again."""
        session = self.sessions.get(flask.request.cookies.get(_COOKIE, ""))
        if session is None or self.silent:
            return session
        age = flask.request.args.get("max_age", type=int)
        too_old = age is not None and time.time() - session[1] > age
        return None if too_old or "login" in _prompts() else session

    def _silently(self, app: flask.Flask, sub: str) -> Response:
        path = flask.request.full_path
        cookie = flask.request.headers.get("Cookie", "")
        headers = {"Cookie": cookie, "X-Silent": "1"}
        return app.test_client(use_cookies=False).post(
            path, data={"sub": sub}, headers=headers, base_url=flask.request.host_url
        )

    def _form(self) -> str:
        client = flask.request.args.get("client_id", "")
        return _PAGE.render(accounts=self.accounts, client=client, again="login" in _prompts())

    def _after(self, response: flask.Response) -> flask.Response:
        """Stamps the code that has just been given out, and remembers who signed in."""
        if flask.request.path != _AUTHORIZE or flask.request.method != "POST":
            return response
        codes = parse_qs(urlsplit(response.location or "").query).get("code", [])
        storage = flask.g.oidc_provider_mock_storage
        given: AuthorizationCode | None = storage.get_authorization_code(codes[0]) if codes else None
        if given is None:
            return response
        sub, auth_time = given.user_id, int(time.time())
        if "X-Silent" in flask.request.headers:
            auth_time = self.sessions[flask.request.cookies[_COOKIE]][1]
        else:
            token = secrets.token_urlsafe(24)
            self.sessions[token] = (sub, auth_time)
            response.set_cookie(_COOKIE, token, httponly=True, samesite="Lax", path="/oauth2")
        kept = {one.name: getattr(given, one.name) for one in fields(given)}
        challenge = flask.request.args.get("code_challenge", "")
        storage.store_authorization_code(StampedCode(**kept, auth_time=auth_time, challenge=challenge))
        return response


def _prompts() -> list[str]:
    return flask.request.args.get("prompt", "").split()


def _back(error: str) -> Response:
    args = flask.request.args
    return flask.redirect(f"{args['redirect_uri']}?{urlencode({'error': error, 'state': args.get('state', '')})}")


def _refuse_other_verifier() -> Response | None:
    """PKCE: whoever redeems a code proves to be who asked for it."""
    form = flask.request.form
    code = flask.g.oidc_provider_mock_storage.get_authorization_code(form.get("code", ""))
    if not isinstance(code, StampedCode) or not code.challenge:
        return None
    made = urlsafe_b64encode(sha256(form.get("code_verifier", "").encode()).digest()).decode().rstrip("=")
    if made == code.challenge:
        return None
    return flask.make_response(flask.jsonify({"error": "invalid_grant", "error_description": "wrong verifier"}), 400)


_PAGE = jinja2.Environment(autoescape=True).from_string("""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Sign in (simulated)</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
  body { font: 16px/1.5 system-ui, sans-serif; background: #f4f5f4; color: #1b2523; margin: 0; }
  main { max-width: 24rem; margin: 3rem auto; background: #fff; border: 1px solid #d5dad8; border-radius: 10px;
         padding: 1.5rem; }
  h1 { font-size: 1.25rem; margin: 0 0 .5rem; } p { margin: 0 0 1rem; color: #4a5754; }
  button, input { font: inherit; width: 100%; box-sizing: border-box; padding: .6rem .8rem; margin: 0 0 .5rem;
         border-radius: 8px; border: 1px solid #6b7976; background: #fff; color: inherit; text-align: left; }
  button { cursor: pointer; } button:hover { background: #eef3f1; } small { color: #4a5754; }
</style></head><body><main>
<h1>{{ "Say again who you are" if again else "Who are you?" }}</h1>
<p>A stand-in of your identity provider, for one machine: it believes whatever you say. {{ client }} asks.</p>
<form method="post">
{% for one in accounts %}<button name="sub" value="{{ one.sub }}">{{ one.name }} <small>{{ one.sub }}</small></button>
{% endfor %}</form>
<form method="post"><label for="sub">Somebody else, by their subject</label>
<input id="sub" name="sub" required autocomplete="username"><button>Sign in</button></form>
</main></body></html>""")


class _Quiet(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002  the name of the library's
        """Requests are not written down: they carry codes."""


def _server(simulator: IdpSimulator, port: int) -> BaseWSGIServer:
    server = make_server(LOOPBACK, port, simulator.application(), threaded=True, request_handler=_Quiet)
    simulator.issuer = f"http://{LOOPBACK}:{server.server_port}"
    return server


@contextmanager
def idp_simulator(accounts: Sequence[Account] = (), port: int = 0) -> Generator[IdpSimulator]:
    """Runs the stand-in in a thread of this process."""
    simulator = IdpSimulator(accounts)
    server = _server(simulator, port)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield simulator
    finally:
        server.shutdown()
        thread.join(5)
        server.server_close()


def read_accounts(path: Path) -> list[Account]:
    """From a table of people with the columns `name` and `sub`; none if there is no such file."""
    if not path.is_file():
        return []
    with path.open(encoding="utf-8-sig", newline="") as file:
        return [Account(row["sub"], row["name"]) for row in csv.DictReader(file)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--people", type=Path, default=Path())
    words = parser.parse_args()
    server = _server(IdpSimulator(read_accounts(words.people)), words.port)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with suppress(KeyboardInterrupt):
        server.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main())
