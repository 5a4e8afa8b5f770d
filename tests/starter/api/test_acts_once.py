"""An act under its caller's own name: the same again is the same act, whatever became of the first answer."""

import asyncio
from typing import Any

import pytest

from adapters.postgres.approvers import requesters
from domain.people import Identity
from starter.gateway import Gateway, Outcome
from tests.starter.api.office import ApiOffice, refused
from tests.starter.api.test_cases import opened

CLAIM, RELEASE = "step.claim", "step.release"


async def acts(api: ApiOffice) -> list[str]:
    return [row["kind"] for row in await api.agency.database.fetch("SELECT kind FROM acts ORDER BY seq")]


async def test_the_same_key_and_body_are_the_same_act(api: ApiOffice) -> None:
    case_id, key = await opened(api, "L-1001"), await api.key()
    first = await key.act(case_id, "investigate", CLAIM, once="a-1")
    assert (await key.act(case_id, "investigate", RELEASE, once="a-2")).status_code == 200
    again = await key.act(case_id, "investigate", CLAIM, once="a-1")
    assert (first.status_code, again.status_code) == (200, 200), again.text
    assert again.json() == first.json() | {"replayed": True}
    assert ("idempotency-replayed" in first.headers, again.headers["idempotency-replayed"]) == (False, "true")
    assert await acts(api) == [CLAIM, RELEASE]
    (step,) = (await key.get("/steps")).json()["rows"]
    assert step["step"]["claimed_by"] == ""


async def test_a_key_that_stood_for_something_else_is_refused(api: ApiOffice) -> None:
    case_id, key = await opened(api, "L-1001"), await api.key()
    other = await opened(api, "L-1002")
    assert (await key.act(case_id, "investigate", CLAIM, once="a")).status_code == 200
    assert (await key.start("L-1003", once="s", reference="R")).status_code == 201
    for answer in (
        await key.act(case_id, "investigate", RELEASE, once="a"),
        await key.act(other, "investigate", CLAIM, once="a"),
        await key.act(case_id, "investigate", CLAIM, once="s"),
        await key.start("L-1004", once="a"),
    ):
        refused(answer, 422, "idempotency-key-reused")
    assert (await (await api.key()).act(other, "investigate", CLAIM, once="a")).status_code == 200
    refused(await key.act(other, "investigate", RELEASE, once="two words"), 400, "idempotency-key-missing")
    assert await acts(api) == [CLAIM, CLAIM]


async def test_an_act_that_is_refused_leaves_its_key_free(api: ApiOffice) -> None:
    case_id, key = await opened(api, "L-1001"), await api.key()
    refused(await key.act(case_id, "investigate", "step.reassign", once="a", to="nobody"), 422, "unknown-assignee")
    refused(await key.act(case_id, "investigate", "step.done", once="a"), 403, "money-needs-a-person")
    assert (await key.act(case_id, "investigate", "step.reassign", once="a", to="P-2")).status_code == 200


async def test_twenty_at_once_are_one_act(api: ApiOffice) -> None:
    case_id, key = await opened(api, "L-1001"), await api.key()
    answers = await asyncio.gather(*(key.act(case_id, "investigate", CLAIM, once="a") for _ in range(20)))
    assert {one.status_code for one in answers} == {200}, [one.text for one in answers if one.is_error]
    assert len({one.json()["jti"] for one in answers}) == 1
    assert await acts(api) == [CLAIM]


async def test_an_act_whose_answer_was_never_heard_is_sent_once_more(
    api: ApiOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Signed and kept, and then the process died; the second time it is the same signed act that goes."""
    case_id, key = await opened(api, "L-1001"), await api.key()

    async def dies(*_: Any) -> None:
        raise ConnectionError

    with monkeypatch.context() as broken:
        broken.setattr(Gateway, "send", dies)
        refused(await key.act(case_id, "investigate", CLAIM, once="a"), 500, "broken")
    assert await acts(api) == []
    again = await key.act(case_id, "investigate", CLAIM, once="a")
    assert (again.status_code, again.json()["state"]) == (200, "accepted")
    (kept,) = await api.agency.database.fetch("SELECT jti FROM acts")
    assert kept["jti"] == again.json()["jti"]


async def test_an_act_that_waited_is_asked_after_by_its_key(api: ApiOffice, monkeypatch: pytest.MonkeyPatch) -> None:
    case_id, key = await opened(api, "L-1001"), await api.key("P-9")

    async def waits(*_: Any) -> Outcome:
        return Outcome("waiting")

    with monkeypatch.context() as slow:
        slow.setattr(Gateway, "outcome", waits)
        first = await key.act(case_id, "investigate", "step.reassign", once="a", to="P-2")
        refused(first, 403, "not-asked")
        key = await api.key("P-1")
        first = await key.act(case_id, "investigate", CLAIM, once="a")
    assert (first.status_code, first.json()["state"]) == (202, "waiting")
    again = await key.act(case_id, "investigate", CLAIM, once="a")
    assert (again.status_code, again.json()) == (200, first.json() | {"state": "accepted", "replayed": True})
    async with api.agency.door_pool.acquire() as conn:  # who took a step has not asked for the case
        asked = await requesters(conn, api.agency.door.intake._vault, case_id)
    assert Identity(issuer="local", sub="P-1") not in asked
