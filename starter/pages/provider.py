"""The identity provider, spoken to by OpenID Connect: authorization code with PKCE and nonce."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

import httpx2
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.httpx_client import AsyncOAuth2Client
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from joserfc.jws import JWSRegistry

from domain.errors import Refused

_TIMEOUT = httpx2.Timeout(10)
_LEEWAY = 30
_ALGORITHMS = ("RS256", "ES256", "PS256", "EdDSA")


@dataclass(frozen=True)
class SignedIn:
    """Who the provider says it is. `auth_time`: when it last asked for the password; 1970 where it does not say."""

    sub: str
    auth_time: datetime


class Provider:
    """Raises Refused `not-configured`, `provider-unreachable` or `sign-in-refused`."""

    def __init__(self, issuer: str, client_id: str, secret: str, callback: str) -> None:
        self.issuer, self._client_id, self._secret, self._callback = issuer, client_id, secret, callback
        self._metadata: dict[str, Any] = {}
        self._lock = asyncio.Lock()

    async def authorization_url(self, state: str, nonce: str, verifier: str, max_age: int, *, fresh: bool) -> str:
        """Where the browser goes to sign in. `fresh`: the password is asked for, whoever is signed in there."""
        metadata = await self._load()
        more = {"prompt": "login"} if fresh else {}
        async with self._client() as client:
            url, _ = client.create_authorization_url(
                metadata["authorization_endpoint"],
                state=state,
                nonce=nonce,
                code_verifier=verifier,
                max_age=str(max_age),
                **more,
            )
        return str(url)

    async def redeem(self, code: str, nonce: str, verifier: str) -> SignedIn:
        """Who stands behind a code. Everything about the ID token is checked; nothing else is believed."""
        metadata = await self._load()
        try:
            async with self._client() as client:
                token = await client.fetch_token(
                    metadata["token_endpoint"], grant_type="authorization_code", code=code, code_verifier=verifier
                )
            return self._checked(token, await _json(metadata["jwks_uri"]), nonce)
        except httpx2.HTTPError as error:
            raise _unreachable(error) from None
        except (AuthlibBaseError, JoseError, ValueError, KeyError) as error:
            raise Refused("sign-in-refused", "The identity provider's answer does not hold. Sign in again.") from error

    def _checked(self, token: dict[str, Any], keys: Any, nonce: str) -> SignedIn:
        registry = JWSRegistry(algorithms=list(_ALGORITHMS), strict_check_header=False)
        opened = jwt.decode(token["id_token"], KeySet.import_key_set(keys), registry=registry)
        claims: Any = CodeIDToken(
            opened.claims,
            opened.header,
            {"iss": {"essential": True, "value": self.issuer}, "aud": {"essential": True, "value": self._client_id}},
            {"nonce": nonce, "client_id": self._client_id, "access_token": token.get("access_token")},
        )
        claims.validate(leeway=_LEEWAY)
        sub, auth_time = claims["sub"], claims.get("auth_time") or 0
        if not isinstance(sub, str) or not sub:
            raise ValueError("sub")
        return SignedIn(sub, datetime.fromtimestamp(int(auth_time), UTC))

    def _client(self) -> Any:
        return AsyncOAuth2Client(
            client_id=self._client_id,
            client_secret=self._secret,
            scope="openid",
            redirect_uri=self._callback,
            code_challenge_method="S256",
            timeout=_TIMEOUT,
            follow_redirects=False,
        )

    async def _load(self) -> dict[str, Any]:
        """The provider's own description of itself; it must name itself as we know it."""
        if not self.issuer:
            raise Refused("not-configured", "No identity provider is set: HOLDFAST_OIDC_ISSUER names it.")
        async with self._lock:
            self._metadata = self._metadata or await self._fetch()
        return self._metadata

    async def _fetch(self) -> dict[str, Any]:
        url = f"{self.issuer.rstrip('/')}/.well-known/openid-configuration"
        try:
            found = await _json(url)
        except (httpx2.HTTPError, ValueError) as error:
            raise _unreachable(error) from None
        if found.get("issuer") != self.issuer:
            raise Refused("sign-in-refused", "The identity provider calls itself by another name than we know it by.")
        return found


async def _json(url: str) -> dict[str, Any]:
    async with httpx2.AsyncClient(timeout=_TIMEOUT) as client:
        return cast("dict[str, Any]", (await client.get(url)).raise_for_status().json())


def _unreachable(error: Exception) -> Refused:
    return Refused("provider-unreachable", f"The identity provider can't be reached now ({type(error).__name__}).")
