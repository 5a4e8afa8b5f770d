"""What every command shares: options, connections, output, and one clear line for whatever goes wrong."""

import asyncio
import gc
import getpass
import json
import os
import sys
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, fields, is_dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar, cast
from zoneinfo import ZoneInfo

import typer
from pydantic import BaseModel, ValidationError
from rich.console import Console
from rich.table import Table
from rich.text import Text
from temporalio.client import Client
from temporalio.service import RPCError

from adapters.letters.letters import PostgresLetters
from adapters.postgres import pool as database
from adapters.postgres.crypto import Vault, load_master
from adapters.postgres.operations import Operations
from adapters.postgres.pool import DatabaseError, DatabaseGoneError, Pool
from domain.errors import HoldfastError, Refused
from domain.messages import Auth
from runtime.connect import connect
from runtime.processes import LocalServerError
from runtime.settings import Settings
from starter.client import Client as HoldfastClient
from starter.client import DirectClient, HttpClient
from starter.gateway import Gateway, LocalLogin

T = TypeVar("T")
LONDON = ZoneInfo("Europe/London")
MISTAKE = 2

Json = Annotated[bool, typer.Option("--json", help="Answer in JSON.")]
As = Annotated[str, typer.Option("--as", envvar="HOLDFAST_AS", metavar="PERSON", help="Who you are, by person id.")]
Case = Annotated[str, typer.Argument(metavar="CASE", help="A case's id, the end of it, or its reference RL#...")]
Step = Annotated[str, typer.Argument(metavar="STEP", help="The step's id, such as investigate.")]

# What goes into a file or a pipe is not folded to a screen's width.
_WIDTH = None if sys.stdout.isatty() else 200
console = Console(highlight=False, soft_wrap=True, width=_WIDTH)
complaints = Console(stderr=True, highlight=False, soft_wrap=True)


@dataclass
class Office:
    """The tables, under the door's role. `by` is what the audit trail calls whoever ran the command."""

    settings: Settings
    pool: Pool
    vault: Vault

    @property
    def operations(self) -> Operations:
        return Operations(self.pool, self.vault)

    @property
    def letters(self) -> PostgresLetters:
        return PostgresLetters(self.pool, self.vault, self.settings)

    async def temporal(self) -> Client:
        """A client that is connected. Raises RuntimeError."""
        return await connect(self.settings)

    def client(self, person: str | None = None) -> DirectClient:
        """Holdfast as `person` asks it, None: somebody who signs nothing. Raises Refused for one without a name."""
        by = None if person is None else who(person)
        opener = "" if by else f"{operator('')} ({Auth.LOCAL})"
        return DirectClient(
            self.pool, self.vault, self.settings, self._gateway, by=by, opener=opener, handover=self.temporal
        )

    async def _gateway(self) -> Gateway:
        return Gateway(self.pool, self.vault, await self.temporal(), self.settings)


@dataclass(frozen=True)
class Server:
    """A Holdfast elsewhere, reached over HTTP by an API key."""

    url: str
    key: str


_server: list[Server] = []


def use_server(url: str, key: str) -> None:
    """All that follows asks this server. Raises Refused without a key."""
    if not key:
        raise Refused("api-key-missing", "a server is asked by an API key: --api-key, or set HOLDFAST_API_KEY")
    _server[:] = [Server(url, key)]


@asynccontextmanager
async def holdfast(person: str | None = None) -> AsyncGenerator[HoldfastClient]:
    """The server that was named, or the tables here, where `person` signs; None: nobody does. Raises Refused."""
    if _server:
        there = HttpClient(_server[0].url, _server[0].key)
        try:
            yield there
        finally:
            await there.close()
        return
    async with signed_in(person) as here:
        yield here


@asynccontextmanager
async def signed_in(person: str | None) -> AsyncGenerator[DirectClient]:
    """The tables here, where `person` signs; None: nobody does. Raises Refused where a server elsewhere was named."""
    if person is not None:
        who(person)  # says so before anything is opened
    async with office() as here:
        yield here.client(person)


@asynccontextmanager
async def office(settings: Settings | None = None) -> AsyncGenerator[Office]:
    """Opens the database. Raises DatabaseGoneError, and Refused where a server elsewhere was named."""
    if _server:
        raise Refused("not-over-http", "that is done beside the database, or signed in at the pages: not with --server")
    settings = settings or Settings()
    pool = await database.connect(settings.database_url_for("door"), application="holdfast-cli", maximum=4)
    try:
        yield Office(settings, pool, Vault(load_master(settings.keys_dir, make=settings.mode == "local")))
    finally:
        await pool.close()


def run(work: Coroutine[Any, Any, T]) -> T:
    """Runs a command's work. The collection keeps the Temporal client from crashing at the interpreter's end."""
    try:
        return asyncio.run(work)
    finally:
        gc.collect()


def guarded(command: Callable[[], object]) -> None:
    """Runs the command line; whatever goes wrong is one clear line and exit code 2, never a traceback.

    `HOLDFAST_DEBUG=1` shows the traceback all the same.
    """
    try:
        command()
    except Exception as error:
        if os.environ.get("HOLDFAST_DEBUG"):
            raise
        fail(explain(error))


def fail(message: str) -> NoReturn:
    complaints.print(Text(f"holdfast: {message}", style="red"))
    sys.exit(MISTAKE)


def explain(error: BaseException) -> str:
    """What went wrong and what to do, for a person."""
    match error:
        case DatabaseGoneError():
            return f"{error}. Start everything with `holdfast up`, or check HOLDFAST_DATABASE_URL."
        case DatabaseError():
            return f"{error}. If the tables are missing, `holdfast up` makes them."
        case ValidationError():
            first = error.errors(include_url=False, include_input=False)[0]
            return f"a setting is wrong: {first['msg'].removeprefix('Value error, ')}"
        case HoldfastError() | LocalServerError():
            return str(error)
        case RPCError():
            return f"Temporal answered {error.status.name}: {error.message}. `holdfast doctor` looks further."
        case RuntimeError() if "connect" in str(error).lower():
            return "Temporal can't be reached. Start everything with `holdfast up`, or check TEMPORAL_ADDRESS."
        case OSError():
            return _of_the_system(error)
        case _:
            name = type(error).__name__
            return f"something unexpected went wrong ({name}). HOLDFAST_DEBUG=1 shows where; `holdfast doctor` checks."


def _of_the_system(error: OSError) -> str:
    if isinstance(error, TimeoutError):
        return "that took longer than it should: is this machine busy? Try again; `holdfast doctor` looks further."
    said = error.strerror or str(error) or type(error).__name__
    return f"{said}: {error.filename}" if error.filename else said


def who(person: str) -> LocalLogin:
    """Whoever gave --as. Raises Refused."""
    if not person:
        raise Refused("who-are-you", "say who you are: --as PERSON, or set HOLDFAST_AS")
    return LocalLogin(person)


def agreed(question: str) -> bool:
    """Whether a person says yes; where nobody can be asked, that is a no."""
    try:
        return typer.confirm(question, err=True)
    except typer.Abort:
        return False


def operator(person: str) -> str:
    """What the audit trail calls whoever ran a command that nobody has to sign."""
    return person or f"cli:{getpass.getuser()}"


def show(data: object, *, as_json: bool, human: Callable[[], object]) -> None:
    if as_json:
        console.print_json(json.dumps(plain(data), default=str))
    else:
        human()


def plain(data: object) -> object:
    """Dataclasses and models as JSON's own types."""
    match data:
        case BaseModel():
            return data.model_dump(mode="json")
        case date():
            return data.isoformat()
        case dict():
            return {str(key): plain(value) for key, value in cast("dict[object, object]", data).items()}
        case list() | tuple():
            return [plain(value) for value in cast("list[object]", data)]
        case _ if is_dataclass(data) and not isinstance(data, type):
            return {one.name: plain(getattr(data, one.name)) for one in fields(data)}
        case _:
            return data


def table(*headings: str) -> Table:
    made = Table(box=None, pad_edge=False, show_edge=False, header_style="bold")
    for number, heading in enumerate(headings):
        made.add_column(heading, overflow="fold", no_wrap=number == 0)
    return made


def several(count: int, one: str, more: str = "") -> str:
    """`1 open case`, `2 open cases`."""
    return f"{count} {one if count == 1 else more or f'{one}s'}"


def moment(at: datetime | None) -> str:
    return f"{at.astimezone(LONDON):%a %d %b %Y %H:%M}" if at else "-"


def file_text(path: Path) -> bytes:
    """A file's content. Raises Refused."""
    try:
        return sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
    except OSError as error:
        raise Refused("no-such-file", f"{path} can't be read: {error.strerror}") from None
