"""Month end from the command line, and what the doctor says of the net under promises."""

import json
from collections.abc import Callable, Mapping
from typing import cast

import pytest
from temporalio.client import ScheduleActionStartWorkflow, ScheduleHandle

from adapters.postgres.promises import PostgresPromises
from domain.books_check import BOOKS_CHECK, INVOICE_DAYS
from domain.errors import Refused
from domain.ids import BOOKS_SCHEDULE, DIGEST_SCHEDULE, DIRECTORY_SCHEDULE, REQUEST_SCHEDULE
from runtime.local import environment
from runtime.temporal_server import TemporalServer
from starter.doctor import Finding, examine
from starter.schedules import books_schedule
from tests.agency import Agency, letter
from tests.conftest import Database
from tests.starter.cli import holdfast, in_process

SCHEDULES = (BOOKS_SCHEDULE, DIRECTORY_SCHEDULE, DIGEST_SCHEDULE, REQUEST_SCHEDULE)


@pytest.mark.clause("RL-11")
async def test_accounts_have_a_list_of_the_leads_received_in_a_month(agency: Agency) -> None:
    for lead, received in (("L-1005", "2026-10-31 23:30+00"), ("L-1006", "2026-11-01 00:10+00")):
        await agency.database.execute(
            "UPDATE leads SET received_at = $2::text::timestamptz WHERE lead_id = $1", lead, received
        )
    case_id = await agency.receive(letter("L-1005 and L-1006"))
    await agency.find(case_id, ["L-1005", "L-1006"])
    await agency.confirm(case_id)
    await agency.result(case_id)
    listed = await holdfast(agency.settings, "billing", "do-not-invoice", "--month", "2026-11", "--json")
    (line,) = listed.data
    assert (line["lead_id"], line["client_name"], line["case_id"]) == ("L-1006", "Acme Plumbing", case_id)
    everything = await holdfast(agency.settings, "billing", "do-not-invoice")
    assert [word for word in everything.out.split() if word.startswith("L-10")] == ["L-1005", "L-1006"]
    wrong = await holdfast(agency.settings, "billing", "do-not-invoice", "--month", "november")
    assert (wrong.code, "write it as 2026-11" in wrong.err) == (2, True)


async def test_the_schedule_is_applied_shown_and_missed(agency: Agency, temporal: TemporalServer) -> None:
    said = [await holdfast(agency.settings, "schedules", "apply", "--json", temporal=temporal.address) for _ in "12"]
    ids = SCHEDULES
    assert [one.data for one in said] == [dict.fromkeys(ids, "created"), dict.fromkeys(ids, "updated")]
    handles = [agency.client.get_schedule_handle(one) for one in ids]
    try:
        shown = await holdfast(agency.settings, "schedules", "show", "--json", temporal=temporal.address)
        assert all(json.loads(shown.out)[one]["next"] for one in ids)
        await _examined(agency, temporal, handles)
    finally:
        for handle in handles:
            await handle.delete()
    assert [one.level for one in await _findings(agency, temporal)] == ["problem"] * 4


async def test_starting_everything_has_the_books_checked_by_the_clock(
    agency: Agency, temporal: TemporalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What `make up` does once there is a worker, nothing else being started: nobody has to apply the schedules."""

    def once_there_is_a_worker(*_: object, after: Mapping[str, Callable[[], None]], **__: object) -> list[object]:
        after["worker-sops"]()
        return []

    monkeypatch.setattr("runtime.local.up", once_there_is_a_worker)
    monkeypatch.setattr("starter.cli.ops._migrate", lambda *_: None)
    for name, value in (environment(agency.settings) | {"TEMPORAL_ADDRESS": temporal.address}).items():
        monkeypatch.setenv(name, value)
    said = await in_process("up")
    assert (said.code, f"{BOOKS_SCHEDULE} created" in said.out) == (0, True), said.err
    handles = [agency.client.get_schedule_handle(one) for one in SCHEDULES]
    (books, *_) = [(await one.describe()).schedule for one in handles]
    for handle in handles:
        await handle.delete()
    assert cast("ScheduleActionStartWorkflow", books.action).workflow == BOOKS_CHECK


async def _examined(agency: Agency, temporal: TemporalServer, handles: list[ScheduleHandle]) -> None:
    assert [one.level for one in await _findings(agency, temporal)] == ["ok"] * 4
    for handle in handles:
        await handle.pause(note="stocktaking")
    paused = await _findings(agency, temporal)
    assert [(one.level, "stocktaking" in one.what) for one in paused] == [("problem", True)] * 4


async def _findings(agency: Agency, temporal: TemporalServer) -> list[Finding]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("TEMPORAL_ADDRESS", temporal.address)
        return [one for one in await examine(agency.settings) if one.about == "schedules"]


async def test_invoice_days_are_a_policy_with_versions(database: Database) -> None:
    promises = PostgresPromises(await database.pool("door"))
    assert await promises.invoice_days() == INVOICE_DAYS
    for version, days in ((1, [5]), (2, [3, 4])):
        await database.execute(
            "INSERT INTO policy (name, version, value) VALUES ('invoice-days', $1, $2::text::jsonb)",
            version,
            json.dumps({"days": days}),
        )
    assert await promises.invoice_days() == (3, 4)


@pytest.mark.parametrize("days", [(), (0,), (1, 32)])
def test_a_day_that_no_month_has_is_refused(days: tuple[int, ...]) -> None:
    with pytest.raises(Refused):
        books_schedule(days)
