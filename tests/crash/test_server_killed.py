"""Temporal's server and PostgreSQL are SIGKILLed while mail is taken in, and while vendors are being called."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

import pytest

from tests.agency import CLIENT_MAIL, eventually, letter
from tests.crash.people import People, arrived, nothing_twice_nothing_missing
from tests.crash.town import OUTAGE, ServerName, Town, open_town

pytestmark = pytest.mark.slow
SLOW = OUTAGE / 2
"""How long a vendor takes to answer: less than the outage, so that what it did can't be written down."""


@pytest.fixture
async def town(tmp_path: Path) -> AsyncGenerator[Town]:
    async with open_town(tmp_path) as made:
        yield made


async def reached(moment: Callable[[], bool], otherwise: str) -> None:
    async def there() -> bool:
        return moment()

    await eventually(there, f"never came to {otherwise}", 60)


@pytest.mark.parametrize("name", ["temporal", "postgres"])
async def test_a_server_is_killed_whenever_a_vendor_is_being_called(town: Town, name: ServerName) -> None:
    agency, outside = town.agency, town.agency.outside
    outside.mail.faults.add("slow", seconds=SLOW, recipient=CLIENT_MAIL)
    for method in ("PUT", "POST"):
        outside.xero.fault(f"{method} /CreditNotes", "slow", seconds=SLOW)
    outside.sheets.fault("POST /", "slow", seconds=SLOW)
    await agency.deliver(letter("L-1001"))
    case_id = await town.case_of("L-1001")
    await reached(lambda: bool(arrived(agency, f"{case_id}/acknowledge/1")), "the acknowledgement")
    await town.outage(name)
    people = People(agency, case_id, ["L-1001"], credited=True)
    outside.mail.faults.add("slow", seconds=SLOW, recipient=CLIENT_MAIL)
    finished = asyncio.create_task(people.finish())
    for moment, otherwise in (
        (lambda: len(outside.xero.done()) == 1, "the draft"),
        (lambda: len(outside.xero.done()) == 2, "the authorisation"),
        (lambda: bool(arrived(agency, f"{case_id}/answer-client/1")), "the answer"),
        (lambda: bool(outside.sheets.rows()), "the row on the sheet"),
    ):
        await reached(moment, otherwise)
        await town.outage(name)
    assert (await finished).valid == 1
    in_doubt = {"acknowledge", "answer-client"} if name == "postgres" else set[str]()
    assert people.asked >= in_doubt
    await nothing_twice_nothing_missing(agency, [people])


@pytest.mark.parametrize("name", ["temporal", "postgres"])
async def test_mail_that_comes_while_a_server_is_killed_becomes_a_case_each(town: Town, name: ServerName) -> None:
    agency = town.agency
    down = asyncio.create_task(town.outage(name))
    await agency.deliver(letter("L-1005"))
    await down
    await agency.deliver(letter("L-1006"))
    await town.outage(name, 0)
    cases = [People(agency, await town.case_of(lead), [lead]) for lead in ("L-1005", "L-1006")]
    await asyncio.gather(*(people.finish() for people in cases))
    assert await agency.database.value("SELECT count(*) FROM cases") == len(cases)
    await nothing_twice_nothing_missing(agency, cases)
