"""The process of the pages, of the API and of webhooks, on loopback; elsewhere a proxy with TLS stands before it.

    python -m starter.web

It reads under the door's role, and signs what people decide with the gateway's key.
"""

import asyncio
import gc
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager

import structlog
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from adapters.postgres import pool as database
from adapters.postgres.crypto import Vault, load_master
from domain.errors import HoldfastError
from runtime.connect import connect
from runtime.logs import configure_logging
from runtime.settings import SettingMissingError, Settings, is_loopback
from starter.api.app import create_api
from starter.pages.app import create_app
from starter.pages.house import House
from starter.webhooks import PREFIX, create_webhooks

log = structlog.get_logger("web")


@asynccontextmanager
async def open_house(settings: Settings, temporal: str = "") -> AsyncGenerator[House]:
    """The tables and the gateway. Temporal is reached when it is first needed. Raises HoldfastError."""
    pool = await database.connect(settings.database_url_for("door"), application="holdfast-web")
    try:
        vault = Vault(load_master(settings.keys_dir, make=settings.mode == "local"))
        client = await connect(settings, address=temporal, lazy=True)
        house = House(settings, pool, vault, client)
        _ = house.gateway  # refuses at once what it would refuse later
        yield house
    finally:
        await pool.close()


class Front:
    """One port, several doors: each below its own path, the pages everywhere else. They share nothing but the house."""

    def __init__(self, pages: ASGIApp, doors: Mapping[str, ASGIApp]) -> None:
        self._pages, self._doors = pages, doors

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = str(scope.get("path", ""))
        door = next((app for prefix, app in self._doors.items() if path.startswith(prefix)), self._pages)
        await (self._pages if scope["type"] == "lifespan" else door)(scope, receive, send)


def create_front(house: House) -> ASGIApp:
    return Front(create_app(house), {"/api/": create_api(house), PREFIX: create_webhooks(house)})


def server(house: House) -> uvicorn.Server:
    """Says nothing of requests: their addresses hold what a sign-in hands over."""
    config = uvicorn.Config(
        create_front(house),
        host=house.settings.web_bind,
        port=house.settings.web_port,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        log_config=None,
        timeout_graceful_shutdown=10,
    )
    return uvicorn.Server(config)


async def _main(settings: Settings) -> None:
    if not settings.web_url:
        raise SettingMissingError("HOLDFAST_WEB_ADDRESS", "the pages must know where people open them")
    if not is_loopback(settings.oidc_issuer) and settings.oidc_client_secret.get_secret_value() in {"", "simulator"}:
        raise SettingMissingError("HOLDFAST_OIDC_CLIENT_SECRET", "the identity provider wants to know who asks")
    async with open_house(settings) as house:
        log.info("pages start", address=settings.web_url, issuer=settings.issuer_url)
        await server(house).serve()


def main() -> None:
    settings = Settings()
    configure_logging(settings.log_format, process="web")
    try:
        asyncio.run(_main(settings))
    except (HoldfastError, SettingMissingError) as error:
        sys.exit(f"the pages could not start: {error}")
    finally:
        gc.collect()


if __name__ == "__main__":
    main()
