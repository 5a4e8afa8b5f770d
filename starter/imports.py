"""`holdfast import`: clients, people, teams, the directory and leads out of files, all or nothing."""

import asyncio
import re
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal, TypeVar, cast

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field

from adapters.postgres.directory_book import Reach
from adapters.postgres.imports import (
    BoardIn,
    ChannelsIn,
    ClientIn,
    DepartmentIn,
    DirectoryIn,
    ImportReport,
    LeadIn,
    PairIn,
    PersonIn,
    PostgresImports,
)
from domain.mail import lead_id
from domain.money import CURRENCIES, LARGEST, Currency
from domain.people import Topic
from domain.rules.routing import Contact
from domain.texts import digest
from starter.tables import Problems, as_models, read_table

M = TypeVar("M", bound=BaseModel)
Kind = Literal["clients", "people", "departments", "leads", "directory", "pairs", "channels", "boards"]
KINDS: tuple[Kind, ...] = ("clients", "people", "departments", "leads", "directory", "pairs", "channels", "boards")
_AMOUNT = re.compile(r"[0-9]{1,7}(\.[0-9]{1,2})?")
_ADDRESS = re.compile(r"[^\s@<>()\[\],;:\\\"]{1,64}@[^\s@<>()\[\],;:\\\"]{1,253}")
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_SLUG = re.compile(r"[a-z][a-z0-9-]{0,40}")
_ADDRESSES: dict[str, re.Pattern[str]] = {
    "slack": re.compile(r"[UW][A-Z0-9]{5,20}"),
    "whatsapp": re.compile(r"[1-9][0-9]{6,14}"),
    "email": _ADDRESS,
    "teamwork": re.compile(r"[0-9]{1,12}"),
}
_NUMBER = re.compile(r"[0-9]{1,12}")
_ROOM = re.compile(r"[CG][A-Z0-9]{5,20}")
_ROLE = re.compile(r"(team|role):[a-z][a-z-]{0,40}")


def _matching(pattern: re.Pattern[str], what: str) -> AfterValidator:
    def check(text: str) -> str:
        if text and not pattern.fullmatch(text):
            raise ValueError(f"not {what}")
        return text

    return AfterValidator(check)


def _listed(text: object) -> object:
    return tuple(one.strip() for one in text.split(";") if one.strip()) if isinstance(text, str) else text


def _amount(text: object) -> object:
    """Plain digits only: neither 1e9 nor -5 nor 1,000."""
    if text in {"", None}:
        return None
    if not isinstance(text, str) or not _AMOUNT.fullmatch(text) or Decimal(text) > LARGEST:
        raise ValueError(f"not an amount such as 60.00, between 0 and {LARGEST}")
    return Decimal(text)


def _currency(text: object) -> object:
    if text not in CURRENCIES:
        raise ValueError(f"unknown currency; known are {', '.join(CURRENCIES)}")
    return text


def _lead_id(text: str) -> str:
    found = lead_id(text)
    if not found:
        raise ValueError("not a lead id such as L-1001")
    return found


def _flag(text: object) -> object:
    if text not in {"true", "false"}:
        raise ValueError("write true or false")
    return text == "true"


def _moment(text: object) -> object:
    try:
        return datetime.fromisoformat(text) if isinstance(text, str) else text
    except ValueError:
        raise ValueError("not a date and time such as 2026-11-02T09:15:00+00:00") from None


def _contacts(text: object) -> object:
    """`al:operational;cath:client`: people in their order, each with what they are asked about if not everything."""
    return tuple(_contact(one) for one in _pieces(text)) if isinstance(text, str) else text


def _contact(text: str) -> Contact:
    person_id, _, topic = text.partition(":")
    if not _ID.fullmatch(person_id):
        raise ValueError(f"{person_id} is not a person's id")
    if topic not in set(Topic):
        raise ValueError("after a colon stands what a contact is asked about: operational or client")
    return Contact(person_id, Topic(topic))


def _channels(text: object) -> object:
    """`slack=U024BE7LH;whatsapp=447700900123`: the first one is tried first."""
    return tuple(_channel(one) for one in _pieces(text)) if isinstance(text, str) else text


def _channel(text: str) -> tuple[Reach, str]:
    channel, _, address = text.partition("=")
    if channel not in _ADDRESSES:
        raise ValueError(f"channels are {', '.join(_ADDRESSES)}, each with = and an address after it")
    address = address.lower() if channel == "email" else address.removeprefix("+")
    if not _ADDRESSES[channel].fullmatch(address):
        raise ValueError(f"not an address of {channel}")
    return cast("Reach", channel), address


def _pieces(text: str) -> list[str]:
    return [one.strip() for one in text.split(";") if one.strip()]


def _each_once(channels: tuple[tuple[Reach, str], ...]) -> tuple[tuple[Reach, str], ...]:
    if len({channel for channel, _ in channels}) != len(channels):
        raise ValueError("a person has one address a channel")
    return channels


Id = Annotated[str, Field(min_length=1), _matching(_ID, "an id: letters, digits, dots, dashes")]
Name = Annotated[str, Field(min_length=1, max_length=200)]
Address = Annotated[str, AfterValidator(str.lower), _matching(_ADDRESS, "an e-mail address")]
Roles = Annotated[
    tuple[Annotated[str, _matching(_ROLE, "a role such as team:return-leads")], ...], BeforeValidator(_listed)
]


class _Cells(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ClientCells(_Cells):
    client_id: Id
    name: Name
    contact_id: Annotated[str, _matching(_ID, "an id of the books")] = ""
    currency: Annotated[Currency, BeforeValidator(_currency)] = "GBP"
    csm_id: Annotated[str, _matching(_ID, "a person's id")] = ""
    addresses: Annotated[tuple[Address, ...], BeforeValidator(_listed)] = ()


class PersonCells(_Cells):
    person_id: Id
    name: Name
    email: Annotated[Address, Field(min_length=1)]
    issuer: Annotated[str, Field(min_length=1, max_length=300)]
    sub: Annotated[str, Field(min_length=1, max_length=300)]
    roles: Roles = ()
    manages: Roles = ()
    active: Annotated[bool, BeforeValidator(_flag)] = True


class DepartmentCells(_Cells):
    role: Annotated[str, Field(min_length=1), _matching(_ROLE, "a role such as team:return-leads")]
    name: Name
    address: Annotated[Address, Field(min_length=1)]


class DirectoryCells(_Cells):
    slug: Annotated[str, Field(min_length=1), _matching(_SLUG, "a short name such as google-local")]
    name: Name
    contacts: Annotated[tuple[Contact, ...], BeforeValidator(_contacts), Field(min_length=1)]
    principal: Annotated[str, _matching(_ID, "a person's id")] = ""
    manager: Annotated[str, _matching(_ID, "a person's id")] = ""


class PairCells(_Cells):
    csm: Id
    css: Annotated[str, _matching(_ID, "a person's id")]


class ChannelCells(_Cells):
    person_id: Id
    channels: Annotated[tuple[tuple[Reach, str], ...], BeforeValidator(_channels), AfterValidator(_each_once)]


class BoardCells(_Cells):
    """`client_id` "": what is about no client."""

    client_id: Annotated[str, _matching(_ID, "an id: letters, digits, dots, dashes")]
    list_id: Annotated[str, Field(min_length=1), _matching(_NUMBER, "a number of Teamwork's")]
    project_id: Annotated[str, _matching(_NUMBER, "a number of Teamwork's")] = ""
    slack_channel: Annotated[str, _matching(_ROOM, "a channel's id such as C024BE91L")] = ""


class LeadCells(_Cells):
    lead_id: Annotated[str, AfterValidator(_lead_id)]
    client_id: Id
    received_at: Annotated[AwareDatetime, BeforeValidator(_moment)]
    price: Annotated[Decimal | None, BeforeValidator(_amount)]
    currency: Annotated[Currency, BeforeValidator(_currency)]
    chat_id: Annotated[str, Field(max_length=100)] = ""
    thread_id: Annotated[str, Field(max_length=100)] = ""


async def import_file(imports: PostgresImports, kind: Kind, path: Path, by: str) -> ImportReport:
    """Takes a whole file in, in one transaction. Raises Refused, every problem with its line, and changes nothing then.

    `by` is kept in the audit trail. The same file again changes nothing.
    """
    sha256 = await asyncio.to_thread(_sha256, path)
    match kind:
        case "clients":
            clients = [(line, ClientIn(**vars(one))) for line, one in _read(path, ClientCells, "client_id")]
            return await imports.clients(path.name, clients, by, sha256)
        case "people":
            people = [(line, PersonIn(**vars(one))) for line, one in _read(path, PersonCells, "person_id")]
            return await imports.people(path.name, people, by, sha256)
        case "departments":
            teams = [(line, DepartmentIn(**vars(one))) for line, one in _read(path, DepartmentCells, "role")]
            return await imports.departments(path.name, teams, by, sha256)
        case "leads":
            leads = [(line, LeadIn(**vars(one))) for line, one in _read(path, LeadCells, "lead_id")]
            return await imports.leads(path.name, leads, by, sha256)
        case "directory":
            entries = [(line, DirectoryIn(**vars(one))) for line, one in _read(path, DirectoryCells, "slug")]
            return await imports.directory(path.name, entries, by, sha256)
        case "pairs":
            pairs = [(line, PairIn(**vars(one))) for line, one in _read(path, PairCells, "csm")]
            return await imports.pairs(path.name, pairs, by, sha256)
        case "channels":
            channels = [(line, ChannelsIn(**vars(one))) for line, one in _read(path, ChannelCells, "person_id")]
            return await imports.channels(path.name, channels, by, sha256)
        case "boards":
            boards = [(line, BoardIn(**vars(one))) for line, one in _read(path, BoardCells, "client_id")]
            return await imports.boards(path.name, boards, by, sha256)


def _sha256(path: Path) -> str:
    return digest(path.read_bytes()) if path.is_file() else ""


def _read(path: Path, model: type[M], key: str) -> list[tuple[int, M]]:
    fields = model.model_fields
    required = [name for name, one in fields.items() if one.is_required()]
    optional = [name for name in fields if name not in required]
    rows = as_models(path.name, read_table(path, required, optional), model)
    problems, seen = Problems(path.name), dict[str, int]()
    for line, row in rows:
        name = str(getattr(row, key))
        if name in seen:
            problems.add(line, f"{key} {name} stands on line {seen[name]} already")
        seen.setdefault(name, line)
    problems.refuse()
    return rows
