"""What every page works with: the tables, the gateway and the identity provider, made once a process."""

from dataclasses import dataclass
from functools import cached_property
from typing import cast

from starlette.requests import Request
from temporalio.client import Client

from adapters.letters.letters import PostgresLetters
from adapters.postgres.agenda import Agendas
from adapters.postgres.briefs import PostgresBriefs
from adapters.postgres.crypto import Vault
from adapters.postgres.directory_book import DirectoryBook
from adapters.postgres.my_work import MyWork
from adapters.postgres.operations import Operations
from adapters.postgres.page_reader import PageReader
from adapters.postgres.pool import Pool
from adapters.postgres.request_view import RequestViews
from adapters.postgres.web_sessions import WebSessions
from runtime.settings import Settings
from starter.client import DirectClient
from starter.gateway import Gateway, Login
from starter.pages.provider import Provider
from starter.requests import RequestDoor


@dataclass
class House:
    """Raises Refused `local-mode-with-real-vendors` when its gateway is first asked for."""

    settings: Settings
    pool: Pool
    vault: Vault
    client: Client

    @cached_property
    def gateway(self) -> Gateway:
        return Gateway(self.pool, self.vault, self.client, self.settings)

    def client_for(self, by: Login, key: str = "", opener: str = "") -> DirectClient:
        """Holdfast as somebody who has signed in asks it; `key`: the API key's name, if it is one.

        `opener`: what the audit trail calls whoever opens a case.
        """

        async def gateway() -> Gateway:
            return self.gateway

        return DirectClient(self.pool, self.vault, self.settings, gateway, by=by, key=key, opener=opener)

    @cached_property
    def letters(self) -> PostgresLetters:
        return PostgresLetters(self.pool, self.vault, self.settings)

    @cached_property
    def pages(self) -> PageReader:
        return PageReader(self.pool, self.vault, self.letters.trust)

    @cached_property
    def operations(self) -> Operations:
        return Operations(self.pool, self.vault)

    @cached_property
    def work(self) -> MyWork:
        return MyWork(self.pool, self.vault, self.letters.trust)

    @cached_property
    def requests(self) -> RequestViews:
        return RequestViews(self.pool, PostgresBriefs(self.pool, self.vault))

    @cached_property
    def request_door(self) -> RequestDoor:
        return RequestDoor(self.pool, self.vault, self.settings)

    @cached_property
    def directory(self) -> DirectoryBook:
        return DirectoryBook(self.pool, self.vault)

    @cached_property
    def agendas(self) -> Agendas:
        return Agendas(self.pool, self.vault)

    @cached_property
    def sessions(self) -> WebSessions:
        return WebSessions(self.pool)

    @cached_property
    def provider(self) -> Provider:
        secret = self.settings.oidc_client_secret.get_secret_value()
        callback = f"{self.settings.web_url}/login/callback"
        return Provider(self.settings.issuer_url, self.settings.oidc_client_id, secret, callback)


def house_of(request: Request) -> House:
    return cast("House", request.app.state.house)
