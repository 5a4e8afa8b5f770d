"""Imports of whole files into a real database, under the door's own role."""

import json
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from adapters.postgres.crypto import Vault
from adapters.postgres.directory import who_is_asked
from adapters.postgres.directory_book import DirectoryBook, on_the_board, person_at
from adapters.postgres.imports import ImportReport, PostgresImports
from domain.chat import Channel, ChannelKind
from domain.errors import Refused
from starter.imports import KINDS, Kind, import_file
from tests.conftest import Database

SAMPLES = Path(__file__).parents[2] / "samples"
ORDER: tuple[Kind, ...] = ("departments", "people", "clients", "leads", "directory", "pairs", "channels", "boards")
NEW = "L-3001,oakfield,2026-11-02T09:00:00+00:00,85.00,GBP"
LEAD = "lead_id,client_id,received_at,price,currency\n"


class Files:
    def __init__(self, imports: PostgresImports, folder: Path) -> None:
        self.imports, self.folder = imports, folder

    async def take(self, kind: Kind, text: str, name: str = "") -> ImportReport:
        path = self.folder / (name or f"{kind}.csv")
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        return await import_file(self.imports, kind, path, "otto")

    async def refused(self, kind: Kind, text: str, name: str = "") -> str:
        with pytest.raises(Refused) as caught:
            await self.take(kind, text, name)
        return str(caught.value)

    async def samples(self) -> list[ImportReport]:
        return [await import_file(self.imports, kind, SAMPLES / f"{kind}.csv", "otto") for kind in ORDER]


@pytest.fixture
async def files(database: Database, tmp_path: Path) -> Files:
    return Files(PostgresImports(await database.pool("door"), Vault(b"k" * 32)), tmp_path)


async def test_the_samples_are_taken_and_the_same_again_changes_nothing(files: Files, database: Database) -> None:
    assert set(ORDER) == set(KINDS)
    first, second = await files.samples(), await files.samples()
    assert [(one.changed, one.same) for one in first] == [(0, 0)] * 8
    assert [(one.added, one.changed) for one in second] == [(0, 0)] * 8
    assert [one.same for one in second] == [one.added for one in first]
    assert await database.value("SELECT count(*) FROM case_events") == 8
    assert await database.value("SELECT client_id FROM client_addresses WHERE address LIKE 'jane%'") == "brightsmile"


@pytest.mark.parametrize(
    "price", ["1e9", "-5", "=1+1", "1,000.00", "60.001", "NaN", "99999999", " 6 0", "\uff16\uff10"]
)
async def test_an_amount_that_is_not_plain_is_refused_by_its_line(files: Files, database: Database, price: str) -> None:
    await files.samples()
    good = "L-3001,oakfield,2026-11-02T09:00:00+00:00,85.00,GBP\n"
    text = f'{LEAD}{good}L-3002,oakfield,2026-11-02T09:00:00+00:00,"{price}",GBP\n'
    told = await files.refused("leads", text)
    assert "line 3: price" in told
    assert "nothing was changed" in told
    assert await database.value("SELECT count(*) FROM leads WHERE lead_id LIKE 'L-3%'") == 0


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("L-3001,oakfield,2026-11-02T09:00:00+00:00,85.00,CHF", "line 2: currency: unknown currency; known are GBP"),
        ("L-3001,nobody,2026-11-02T09:00:00+00:00,85.00,GBP", "line 2: client_id: there is no client nobody"),
        ("L-3001,oakfield,2026-11-02 09:00,85.00,GBP", "line 2: received_at"),
        ("3001,oakfield,2026-11-02T09:00:00+00:00,85.00,GBP", "line 2: lead_id: not a lead id"),
        ("L-1001,oakfield,2026-10-03T09:12:00+00:00,60.00,GBP", "line 2: client_id: a lead can't move"),
        ("L-3001,oakfield", "line 2: 2 cells, 5 columns"),
        ("L-3001,=cmd(),2026-11-02T09:00:00+00:00,85.00,GBP", "line 2: client_id starts with '='"),
        ('L-3001,"oak', "line 2: unexpected end of data"),
        (f"{NEW}\nl-{NEW[2:]}", "line 3: lead_id L-3001 stands on line 2 already"),
        ("L-3001,oak\0field,2026-11-02T09:00:00+00:00,85.00,GBP", "holds a NUL"),
    ],
)  # fmt: skip
async def test_a_bad_row_is_named_by_its_line(files: Files, row: str, told: str) -> None:
    await files.samples()
    assert told in await files.refused("leads", f"{LEAD}{row}\n")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "no rows"),
        ("lead_id\nL-1\n", "the column client_id is missing"),
        (f"{LEAD.strip()},approved\nL-1,c,2026-11-02T09:00:00+00:00,1,GBP,yes\n", "the column 'approved' is not known"),
        ("lead_id,lead_id\nL-1,L-1\n", "named twice"),
    ],
)
async def test_a_table_with_other_columns_is_refused(files: Files, text: str, told: str) -> None:
    assert told in await files.refused("leads", text)


async def test_text_that_is_not_utf8_is_refused(files: Files) -> None:
    path = files.folder / "clients.csv"
    path.write_bytes(b"client_id,name\nzo\xeb,Zo\xeb\n")
    with pytest.raises(Refused, match="line 2: not UTF-8"):
        await import_file(files.imports, "clients", path, "otto")


async def test_json_is_taken_with_amounts_as_text_only(files: Files) -> None:
    await files.samples()
    row = {"lead_id": "L-3001", "client_id": "oakfield", "received_at": "2026-11-02T09:00:00Z", "currency": "GBP"}
    taken = await files.take("leads", json.dumps([row | {"price": "85.00"}]), "a.json")
    assert taken.added == 1
    assert "price must be a text in quotes" in await files.refused(
        "leads", json.dumps([row | {"price": 1e9}]), "b.json"
    )
    assert "is not JSON" in await files.refused("leads", "[" * 100_000, "c.json")


async def test_another_price_is_a_version_that_no_order_proves(files: Files, database: Database) -> None:
    await files.samples()
    row = "L-2001,oakfield,2026-11-02T09:00:00+00:00,{price},GBP\n"
    assert (await files.take("leads", LEAD + row.format(price="850.00"))).changed == 1
    assert (await files.take("leads", LEAD + row.format(price="850.00"))).same == 1
    assert (await files.take("leads", LEAD + row.format(price="85.00"))).changed == 1
    assert await database.value("SELECT price FROM leads WHERE lead_id = 'L-2001'") == Decimal("85.00")
    versions = await database.fetch(
        "SELECT version, price, act_jti FROM lead_prices WHERE lead_id = 'L-2001' ORDER BY version"
    )
    assert [tuple(one) for one in versions] == [(n, Decimal(price), "") for n, price in ((1, 85), (2, 850), (3, 85))]


PEOPLE = "person_id,name,email,issuer,sub,roles\n"


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("evan,Evan,evan@commversion.com,local,evan,role:approver", "role:approver can't be given by an import"),
        ("evan,Evan,evan@commversion.com,local,evan,team:accounts", "team:accounts can't be given by an import"),
        ("evan,Evan,evan@commversion.com,local,nora,", "e-mail or identity belongs to nora"),
        ("nora,Nora Singh,nora.singh@commversion.com,local,evan,", "a person's identity can't be changed"),
        ("nora,Nora Singh,evan@commversion.com,local,nora,", "nora acts for money"),
        ("evan,Evan,jane.porter@brightsmile.example,local,evan,", "this is a client's address"),
    ],
)
async def test_no_import_leads_to_money(files: Files, database: Database, row: str, told: str) -> None:
    await files.samples()
    await database.execute(
        "INSERT INTO money_people (role, issuer, sub, name) VALUES ('team:accounts', 'local', 'nora', 'Nora')"
    )
    before = await database.fetch("SELECT * FROM people ORDER BY person_id")
    assert told in await files.refused("people", f"{PEOPLE}{row}\n")
    assert await database.fetch("SELECT * FROM people ORDER BY person_id") == before


@pytest.mark.parametrize(("days", "taken"), [(3, False), (0, False), (-2, True)])
async def test_whoever_stands_in_for_an_approver_keeps_his_address_as_long(
    files: Files, database: Database, days: int, taken: bool
) -> None:
    await files.samples()
    ends = str(datetime.now(ZoneInfo("Europe/London")).date() + timedelta(days=days))
    order = {"stand_in": {"issuer": "local", "sub": "nora"}, "starts": "2026-01-01", "ends": ends}
    await database.execute(
        "INSERT INTO orders (jti, kind, issuer, sub, body, payload, signature, subject)"
        " VALUES ('one', 'standin.set', 'local', 'shobhit', '', $1, '', '')",
        json.dumps(order),
    )
    row = f"{PEOPLE}nora,Nora Singh,evan@commversion.com,local,nora,\n"
    if taken:
        assert (await files.take("people", row)).changed == 1
    else:
        assert "nora acts for money" in await files.refused("people", row)


async def test_a_role_that_is_no_longer_listed_is_taken_away(files: Files, database: Database) -> None:
    await files.samples()
    await files.take("people", f"{PEOPLE}ivan,Ivan Hale,ivan.hale@commversion.com,local,ivan,role:csm\n")
    rows = await database.fetch("SELECT role FROM memberships WHERE person_id = 'ivan'")
    assert [row["role"] for row in rows] == ["role:csm"]


async def test_an_address_belongs_to_one_client_and_never_to_us(files: Files) -> None:
    await files.samples()
    heading = "client_id,name,csm_id,addresses\n"
    stolen = await files.refused("clients", f"{heading}oakfield,Oakfield,carl,jane.porter@brightsmile.example\n")
    assert "belongs to client brightsmile" in stolen
    ours = await files.refused("clients", f"{heading}oakfield,Oakfield,carl,ppc@commversion.com\n")
    assert "one of them is our own" in ours
    assert "there is no person nobody" in await files.refused("clients", f"{heading}oakfield,Oakfield,nobody,\n")


async def test_the_contact_in_the_books_stays_once_something_was_credited_under_it(
    files: Files, database: Database
) -> None:
    await files.samples()
    text = "client_id,name,contact_id\noakfield,Oakfield Law,another\n"
    await database.execute(
        "INSERT INTO grants (lead_id, case_id, client_id, contact_id, treatment, gross, currency, gbp, effect_key)"
        " VALUES ('L-2001', 'c', 'oakfield', 'x', 'no-charge', 85, 'GBP', 85, 'k')"
    )
    assert "can't be changed any more" in await files.refused("clients", text)


async def test_many_problems_are_told_at_once_and_bounded(files: Files) -> None:
    rows = "".join(f"L-{number},c,2026-11-02T09:00:00+00:00,-1,XXX\n" for number in range(1000, 1040))
    told = await files.refused("leads", LEAD + rows)
    assert told.count("line ") == 20
    assert "and 20 more" in told


DIRECTORY = "slug,name,contacts,principal,manager\n"


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("content,Content,nobody,,", "line 2: content: there is no person nobody; import the people first"),
        ("content,Content,,,", "line 2: contacts"),
        ("content,Content,zane:money,,", "after a colon stands what a contact is asked about"),
        ("Content,Content,zane,,", "line 2: slug: not a short name such as google-local"),
        ("content,Content,zane,,nobody", "there is no person nobody"),
    ],
)
async def test_a_department_that_can_t_be_taken_changes_nothing(
    files: Files, database: Database, row: str, told: str
) -> None:
    await files.samples()
    assert told in await files.refused("directory", f"{DIRECTORY}{row}\nppc,PPC,john,,\n")
    assert await database.value("SELECT max(version) FROM directory") == 1


async def test_a_changed_department_is_a_version_of_today_and_the_others_stay(files: Files, database: Database) -> None:
    await files.samples()
    report = await files.take("directory", f"{DIRECTORY}content,Content,zane;barb,,rosa\nppc,PPC,barb,,rosa\n")
    assert (report.added, report.changed, report.same) == (0, 1, 1)
    rows = await database.fetch(
        "SELECT slug, version, set_by, since = holdfast_today() AS today FROM directory WHERE version > 1"
    )
    assert [tuple(row) for row in rows] == [("content", 2, "otto", True)]


@pytest.mark.parametrize("role", ["team:accounts", "role:approver", "role:partner"])
async def test_no_import_makes_somebody_of_money(files: Files, database: Database, role: str) -> None:
    await files.samples()
    before = await database.fetch("SELECT * FROM money_people")
    people = "person_id,name,email,issuer,sub,roles\n"
    await files.refused("people", f"{people}zane,Zane,zane@commversion.com,local,zane,{role}\n")
    slug = role.partition(":")[2]
    await files.take("directory", f"{DIRECTORY}{slug},Money,zane,,zane\n")
    async with (await database.pool("money")).acquire() as conn:
        assert (await who_is_asked(conn, role)).people == ()
    assert await database.fetch("SELECT * FROM money_people") == before


CHANNELS = "person_id,channels\n"


@pytest.mark.parametrize(
    ("cell", "told"),
    [
        ("whatsapp=07700900102", "not an address of whatsapp"),
        ("slack=zane", "not an address of slack"),
        ("pager=1", "channels are slack, whatsapp, email, teamwork"),
        ("slack=U0ZANE001;slack=U0ZANE002", "one address a channel"),
        ("slack=U0ELMER01", "slack: this address is elmer's"),
    ],
)
async def test_channels_that_can_t_be_taken(files: Files, cell: str, told: str) -> None:
    await files.samples()
    assert told in await files.refused("channels", f"{CHANNELS}zane,{cell}\n")


async def test_channels_are_kept_sealed_and_in_order(files: Files, database: Database) -> None:
    await files.samples()
    await files.take("channels", f"{CHANNELS}zane,whatsapp=+447700900102;slack=U0ZANE001\n")
    sealed = await database.value("SELECT address_ct FROM person_channels WHERE person_id = 'zane' AND rank = 1")
    assert isinstance(sealed, bytes)
    assert b"447700900102" not in sealed
    book = DirectoryBook(await database.pool("sops"), Vault(b"k" * 32))
    assert await book.channels("zane") == (
        Channel(kind=ChannelKind.WHATSAPP, address="447700900102"),
        Channel(kind=ChannelKind.SLACK, address="U0ZANE001"),
        Channel(kind=ChannelKind.EMAIL, address="zane@commversion.com"),
    )
    async with (await database.pool("sops")).acquire() as conn:
        assert await person_at(conn, Vault(b"k" * 32), "slack", "U0ZANE001") == "zane"
        assert await person_at(conn, Vault(b"k" * 32), "slack", "U0NOBODY1") == ""
        assert await on_the_board(conn, Vault(b"k" * 32), "zane") == ""
        assert await on_the_board(conn, Vault(b"k" * 32), "barb") == "304"


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("nobody,cath", "csm: there is no person nobody"),
        ("andy,nobody", "css: there is no person nobody"),
        ("andy,andy", "nobody is their own support"),
    ],
)
async def test_pairs_that_can_t_be_taken(files: Files, row: str, told: str) -> None:
    await files.samples()
    assert told in await files.refused("pairs", f"csm,css\n{row}\n")


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("nobody,701,,", "there is no client nobody"),
        ("oakfield,701,,", "this list is brightsmile's"),
        ("oakfield,seven,,", "not a number of Teamwork's"),
        ("oakfield,702,,#general", "not a channel's id"),
    ],
)
async def test_a_board_that_is_nobodys_or_somebody_elses_is_refused(files: Files, row: str, problem: str) -> None:
    await files.samples()
    assert problem in await files.refused("boards", f"client_id,list_id,project_id,slack_channel\n{row}\n")
