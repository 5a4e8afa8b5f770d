"""Cases over HTTP: started once, found again, read with their story, and acted on as far as a program may."""

import asyncio
from datetime import datetime, timedelta
from secrets import token_hex
from typing import Any
from urllib.parse import quote

import pytest
from pydantic import TypeAdapter

from domain import ids
from domain.api_keys import Scope
from starter.client import case_path
from tests.agency import CLIENT
from tests.conftest import Database
from tests.standing import stood_still
from tests.starter.api.office import TEAM, ApiOffice, refused
from tests.workflows.desk import furnish


async def opened(api: ApiOffice, *leads: str) -> str:
    """A case that waits for its findings."""
    case_id = await api.agency.open_return(*leads, reference=f"R-{token_hex(4)}")
    await api.agency.parked(case_id, "investigate")
    return case_id


# Starting -------------------------------------------------------------------------------------------------------------


async def test_a_case_is_started_and_runs(api: ApiOffice) -> None:
    key = await api.key()
    answer = await key.start("l-1001", "L-1002", reference="PPC 17")
    assert answer.status_code == 201, answer.text
    case_id = ids.return_lead_case("reference|PPC 17")
    said = {"case_id": case_id, "kind": "ReturnLead", "repeated": False, "replayed": False, "handed_over": None}
    assert answer.json() == said
    assert answer.headers["location"] == f"/api/v1/cases/{case_id.replace('/', '~')}"
    await api.agency.take_in()
    await api.agency.parked(case_id, "investigate")
    shown = (await key.get(f"/cases/{case_path(case_id)}")).json()
    assert shown["row"]["owner"] == TEAM
    assert [lead["lead_id"] for lead in shown["leads"]] == ["L-1001", "L-1002"]


async def test_the_same_key_and_body_get_the_same_answer_again(api: ApiOffice) -> None:
    key = await api.key()
    first = await key.start("L-1001", once="k-1", reference="R")
    again = await key.start("L-1001", once="k-1", reference="R")
    quoted = await key.start("L-1001", once='"k-1"', reference="R")
    assert [one.status_code for one in (first, again, quoted)] == [201, 201, 201]
    assert again.json() == first.json() | {"replayed": True}
    assert (again.headers["idempotency-replayed"], again.headers["location"]) == ("true", first.headers["location"])
    other = await key.start("L-1001", once="k-1", reference="R", note="another")
    refused(other, 422, "idempotency-key-reused")
    assert await api.agency.database.value("SELECT count(*) FROM cases") == 1


async def test_an_order_of_fields_is_no_other_body(api: ApiOffice) -> None:
    key, headers = await api.key(), {"Content-Type": "application/json", "Idempotency-Key": "k"}
    one = '{"client_id": "C-0001", "leads": ["L-1001"], "reference": "R"}'
    two = '{ "reference":"R","leads":["L-1001"],"client_id":"C-0001" }'
    answers = [await key.ask("POST", "/cases/return-leads", content=body, headers=headers) for body in (one, two)]
    assert [one.status_code for one in answers] == [201, 201]


async def test_keys_of_others_do_not_collide(api: ApiOffice) -> None:
    ours, theirs = await api.key(), await api.key()
    assert (await ours.start("L-1001", once="k", reference="A")).status_code == 201
    assert (await theirs.start("L-1002", once="k", reference="B")).status_code == 201


async def test_a_rotated_key_still_knows_what_it_asked_for(api: ApiOffice) -> None:
    key = await api.key()
    name = (await key.get("/whoami")).json()["name"]
    first = await key.start("L-1001", once="k", reference="R")
    token = await api.keys.rotate(name, lasts=timedelta(days=9), overlap=timedelta(days=1), by="otto")
    again = await api.with_token(token).start("L-1001", once="k", reference="R")
    assert again.json() == first.json() | {"replayed": True}


async def test_the_same_reference_is_the_same_request_whatever_the_key(api: ApiOffice) -> None:
    key = await api.key()
    first = await key.start("L-1001", once="a", reference="R")
    second = await key.start("L-1001", once="b", reference="R")
    again = await key.start("L-1001", once="b", reference="R")
    assert [one.status_code for one in (first, second, again)] == [201, 200, 200]
    assert second.json() == first.json() | {"repeated": True}
    assert again.json() == second.json() | {"replayed": True}
    refused(await key.start("L-1002", once="c", reference="R"), 409, "another-content")


async def test_a_refused_request_leaves_its_key_free(api: ApiOffice) -> None:
    key = await api.key()
    refused(await key.start("L-1001", once="k", client_id="nobody"), 422, "unknown-client")
    assert (await key.start("L-1001", once="k")).status_code == 201


async def test_fifty_identical_starts_at_once_are_one_case(api: ApiOffice) -> None:
    key = await api.key()
    sent = [key.start("L-1001", once="one", reference="R") for _ in range(25)]
    sent += [key.start("L-1001", once=f"other-{number}", reference="R") for number in range(25)]
    answers = await asyncio.gather(*sent)
    assert {one.status_code for one in answers} <= {200, 201}
    assert len({one.json()["case_id"] for one in answers}) == 1
    assert await api.agency.database.value("SELECT count(*) FROM cases") == 1
    assert await api.agency.database.value("SELECT count(*) FROM inbox WHERE provider = 'api'") == 26


NOT_UNDERSTOOD: tuple[tuple[dict[str, Any], str], ...] = (
    ({}, "/client_id"),
    ({"leads": [], "client_id": CLIENT, "reference": "R"}, "/leads"),
    ({"leads": ["L-1001"], "client_id": 7, "reference": "R"}, "/client_id"),
    ({"leads": "L-1001", "client_id": CLIENT, "reference": "R"}, "/leads"),
    ({"leads": ["L-1001"], "client_id": CLIENT, "reference": "R", "jane@acme.example": 1}, ""),
    ({"leads": ["L-1001"], "client_id": CLIENT, "reference": "R", "callback_url": "http://127.0.0.1:9/"}, ""),
    ({"leads": ["L-1001"] * 501, "client_id": CLIENT, "reference": "R"}, "/leads"),
)


async def test_a_request_that_is_not_understood_says_where(api: ApiOffice) -> None:
    key = await api.key()
    for body, place in NOT_UNDERSTOOD:
        problem = refused(await key.post("/cases/return-leads", body, once="k"), 422, "bad-request")
        assert place in [one["pointer"] for one in problem["errors"]]
        assert "jane@acme.example" not in str(problem)
    assert await api.agency.database.value("SELECT count(*) FROM inbox") == 0


async def test_what_was_sent_is_not_said_back(api: ApiOffice) -> None:
    key = await api.key()
    for body in ({"reply_to": "secret@acme.example"}, {"leads": ["secret@acme.example"]}, {"client_id": "secret@x"}):
        said = {"client_id": CLIENT, "leads": ["L-1001"], "reference": "R"} | body
        assert "secret" not in (await key.post("/cases/return-leads", said, once="k")).text
    assert "secret" not in (await key.get("/cases/secret@x")).text
    assert "secret" not in (await key.get("/cases?secret=1")).text


async def test_an_idempotency_key_is_asked_for(api: ApiOffice) -> None:
    key = await api.key()
    body = {"client_id": CLIENT, "leads": ["L-1001"], "reference": "R"}
    for wrong in ("", "x" * 201, "a b", '"', '""', "\xa0k", "\xe9"):
        named = {"Idempotency-Key": wrong.encode("latin-1")}
        answer = await key.ask("POST", "/cases/return-leads", json=body, headers=named)
        refused(answer, 400, "idempotency-key-missing")


# Finding and reading --------------------------------------------------------------------------------------------------


async def test_a_case_is_named_in_three_ways(api: ApiOffice) -> None:
    case_id, key = await opened(api, "L-1001"), await api.key()
    for named in (case_path(case_id), quote(case_id, safe=""), case_id):
        answer = await key.get(f"/cases/{named}")
        assert (answer.status_code, answer.json()["row"]["case_id"]) == (200, case_id)
        assert (await key.get(f"/cases/{named}/timeline")).status_code == 200
        assert (await key.get(f"/cases/{named}/clocks")).status_code == 200
        assert (await key.get(f"/cases/{named}/steps")).status_code == 200
    assert "~" in case_path(case_id)
    for short in (case_id.partition("/")[2], case_id, case_path(case_id), quote(ids.case_token(case_id))):
        assert (await key.get(f"/find-case?name={short}")).json() == {"case_id": case_id}
    for more in ("", "/timeline", "/clocks", "/steps"):
        refused(await key.get(f"/cases/return-lead~nobody{more}"), 404, "unknown-case")
    refused(await key.get("/find-case?name=nobody"), 404, "unknown-case")


async def test_a_case_shows_its_timeline_clocks_and_steps(api: ApiOffice) -> None:
    case_id, key = await opened(api, "L-1001"), await api.key()
    path = f"/cases/{case_path(case_id)}"
    lines = (await key.get(f"{path}/timeline")).json()
    told = [(line["kind"], line["clause"]) for line in lines if line["kind"] != "promised"]
    assert told[:1] == [("asked", "RL-4")]
    clocks = {clock["name"]: clock for clock in (await key.get(f"{path}/clocks")).json()}
    assert set(clocks) >= {"investigate", "solution-proposed", "resolved"}
    assert (clocks["investigate"]["clause"], clocks["resolved"]["version"]) == ("RL-4", 1)
    for clock in clocks.values():
        add_up(clock)
    (step,) = (await key.get(f"{path}/steps")).json()
    assert (step["state"], step["step"]["kinds"]) == ("open", ["return.findings"])
    (waiting,) = (await key.get("/steps")).json()["rows"]
    assert waiting["case_id"] == case_id


def add_up(clock: dict[str, Any]) -> None:
    """Every stretch from the start to when it is due, without a gap: what ran is what was promised."""
    stretches = [
        (datetime.fromisoformat(one["since"]), datetime.fromisoformat(one["until"])) for one in clock["segments"]
    ]
    assert [until for _, until in stretches[:-1]] == [since for since, _ in stretches[1:]]
    assert stretches[0][0] == datetime.fromisoformat(clock["since"])
    ran = [
        until - since for (since, until), one in zip(stretches, clock["segments"], strict=True) if one["kind"] == "ran"
    ]
    if clock["met_at"] is None:
        assert stretches[-1][1] == datetime.fromisoformat(clock["due"])
        assert sum(ran, timedelta()) == TypeAdapter(timedelta).validate_python(clock["after"])


async def test_a_clock_that_stood_still_shows_for_whom_and_adds_up_over_http(api: ApiOffice) -> None:
    case_id, key = await opened(api, "L-1003"), await api.key()
    await stood_still(api.agency, case_id, "P-1")
    told = {one["name"]: one for one in (await key.get(f"/cases/{case_path(case_id)}/clocks")).json()}
    add_up(told["resolved"])
    kinds = [(one["kind"], one["why"], one["by"]) for one in told["resolved"]["segments"]]
    assert kinds[:3] == [("ran", "", ""), ("paused", "client", "P-1"), ("ran", "", "")]
    assert ("holiday", "Christmas Day", "") in kinds


async def many(database: Database, number: int) -> None:
    await database.execute(
        """INSERT INTO cases (case_id, workflow_id, kind, client_id, status, owner, due_at, opened_at)
           SELECT 'return-lead/' || lpad(n::text, 16, '0'), 'w' || n,
               CASE WHEN n % 5 = 0 THEN 'Other' ELSE 'ReturnLead' END,
               'C-' || n % 3, CASE WHEN n % 2 = 0 THEN 'open' ELSE 'closed' END,
               CASE WHEN n % 2 = 0 THEN 'team:t' || n % 4 ELSE '' END,
               CASE WHEN n % 2 = 0 THEN timestamptz '2026-01-01Z' + n * interval '1 hour' END,
               timestamptz '2026-01-01Z' + (n / 10) * interval '1 hour'
           FROM generate_series(1, $1) n""",
        number,
    )


async def pages(api: ApiOffice, query: str) -> list[str]:
    """Every case of a list, page by page."""
    key, cursor, found = await api.key(), "", list[str]()
    while True:
        answer = await key.get(f"/cases?limit=7{query}&cursor={cursor}")
        assert answer.status_code == 200, answer.text
        found += [row["case_id"] for row in answer.json()["rows"]]
        cursor = answer.json()["cursor"]
        if not cursor:
            return found


async def test_lists_go_on_in_one_order_while_cases_are_added(api: ApiOffice) -> None:
    await many(api.agency.database, 40)
    key = await api.key()
    first = (await key.get("/cases?limit=15")).json()
    await api.agency.open_return("L-1001")
    second = (await key.get(f"/cases?limit=200&cursor={first['cursor']}")).json()
    seen = [row["case_id"] for row in (*first["rows"], *second["rows"])]
    assert (len(seen), len(set(seen)), second["cursor"]) == (40, 40, "")
    times = [(row["opened_at"], row["case_id"]) for row in (*first["rows"], *second["rows"])]
    assert times == sorted(times, reverse=True)


async def test_filters_and_pages_agree_with_the_tables(api: ApiOffice) -> None:
    database = api.agency.database
    await many(database, 60)
    await database.execute(
        """INSERT INTO case_events (seq, case_id, recorded_at, kind, clause, step_id, client_id, body_ct, dedupe,
               previous, hash)
           SELECT n, 'return-lead/' || lpad(n::text, 16, '0'), now(), 'breached', 'RL-4', 's', '', '', 'd', '', n::text
           FROM generate_series(10, 60, 10) n"""
    )
    for query, condition in (
        ("", "true"),
        ("&status=open", "status = 'open'"),
        ("&status=closed&client=C-1", "status = 'closed' AND client_id = 'C-1'"),
        ("&kind=Other", "kind = 'Other'"),
        ("&owner=team:t2", "owner = 'team:t2'"),
        ("&due_before=2026-01-02T00:00:00Z", "due_at < '2026-01-02Z'"),
        ("&breached=RL-4", "right(case_id, 1) = '0'"),
        ("&breached=RL-4&kind=ReturnLead", "false"),
        ("&breached=RL-5", "false"),
    ):
        rows = await database.fetch(
            f"SELECT case_id FROM cases WHERE {condition} ORDER BY opened_at DESC, case_id DESC"  # noqa: S608
        )
        assert await pages(api, query) == [row["case_id"] for row in rows], query


async def test_a_cursor_is_for_its_list(api: ApiOffice) -> None:
    await many(api.agency.database, 20)
    key = await api.key()
    cursor = (await key.get("/cases?limit=2")).json()["cursor"]
    for query in (f"status=open&cursor={cursor}", "cursor=x", f"cursor={cursor}x", "cursor=W10", "cursor=%00"):
        answer = await key.get(f"/cases?{query}")
        refused(answer, 400, "unreadable-text" if "%00" in query else "bad-cursor")
    refused(await key.get(f"/steps?cursor={cursor}"), 400, "bad-cursor")


WRONG = (
    "limit=0", "limit=201", "limit=x", "limit=5.0", "limit=%205", "limit=1_0", "limit=5&limit=6", "kind=a&kind=a",
    "status=gone", "statsu=open", "due_before=", "due_before=tomorrow", "due_before=2026-01-01",
    "due_before=2026-01-01T00:00Z", "due_before=1767225600", "due_before=0001-01-01T00:00:00%2B14:00",
    "due_before=9999-12-31T23:59:59-14:00", "client=" + "x" * 300,
)  # fmt: skip


async def test_a_query_that_is_not_understood_is_refused(api: ApiOffice) -> None:
    key = await api.key()
    for query in WRONG:
        refused(await key.get(f"/cases?{query}"), 400, "bad-query")


async def test_a_yes_has_one_spelling(api: ApiOffice) -> None:
    key = await api.key()
    for other in ("yes", "1", "on", "t", "True"):
        refused(await key.get(f"/steps?mine={other}"), 400, "bad-query")
    for one in ("true", "false"):
        assert (await key.get(f"/steps?mine={one}")).status_code == 200


# Acting ---------------------------------------------------------------------------------------------------------------


async def test_a_department_takes_gives_back_and_hands_on_a_step(api: ApiOffice) -> None:
    case_id, key = await opened(api, "L-1001"), await api.key()
    done = await key.act(case_id, "investigate", "step.claim")
    assert (done.status_code, done.json()["state"]) == (200, "accepted"), done.text
    (mine,) = (await key.get("/steps?mine=true")).json()["rows"]
    assert mine["step"]["claimed_by"].startswith("api-key:k-")
    assert (await (await api.key()).get("/steps?mine=true")).json()["rows"] == []
    refused(await (await api.key()).act(case_id, "investigate", "step.claim"), 409, "belongs-to-another")
    released = await key.act(case_id, "investigate", "step.release")
    assert released.status_code == 200, released.text
    refused(await key.act(case_id, "investigate", "step.reassign", to="nobody"), 422, "unknown-assignee")
    assert (await key.act(case_id, "investigate", "step.reassign", to="P-2")).status_code == 200
    assert (await key.get("/steps?owner=P-2")).json()["rows"][0]["step"]["reassigned_to"] == "P-2"


async def test_what_a_key_did_is_on_record_with_the_secret_it_used(api: ApiOffice) -> None:
    case_id, key = await opened(api, "L-1001"), await api.key()
    await key.act(case_id, "investigate", "step.claim")
    (row,) = await api.agency.database.fetch("SELECT issuer, sub, auth, person_id FROM acts")
    who = (await key.get("/whoami")).json()
    assert dict(row) == {
        "issuer": "api-key", "sub": who["key_id"], "auth": "api_key", "person_id": f"api-key:{who['name']}",
    }  # fmt: skip
    lines = (await key.get(f"/cases/{case_path(case_id)}/timeline")).json()
    assert any(line["actor"] == f"api-key:{who['name']}" for line in lines)
    assert (await api.agency.audited()).whole


async def test_a_key_of_a_person_acts_as_that_person(api: ApiOffice) -> None:
    case_id, key = await opened(api, "L-1001"), await api.key("P-1")
    assert (await key.act(case_id, "investigate", "step.claim")).status_code == 200
    (mine,) = (await key.get("/steps?mine=true")).json()["rows"]
    assert mine["step"]["claimed_by"] == "P-1"
    refused(await (await api.key("P-4")).act(case_id, "investigate", "step.release"), 403, "not-asked")
    await api.agency.database.execute("UPDATE people SET active = false WHERE person_id = 'P-1'")
    refused(await key.act(case_id, "investigate", "step.release"), 403, "unknown-person")


async def test_an_act_names_a_case_a_step_and_a_kind(api: ApiOffice) -> None:
    case_id, key = await opened(api, "L-1001"), await api.key()
    refused(await key.act("return-lead/nobody", "investigate", "step.claim"), 404, "unknown-case")
    refused(await key.act(case_id, "nothing", "step.claim"), 404, "unknown-step")
    refused(await key.act(case_id, "investigate", "step.dance"), 422, "unknown-kind")
    refused(await key.act(case_id, "investigate", "step.done"), 403, "money-needs-a-person")
    refused(await key.act(case_id, "investigate", "step.claim", why="x"), 422, "invalid-result")
    path = f"/cases/{case_path(case_id)}/steps/investigate/acts"
    for body in ({}, {"kind": 1}, {"kind": "step.claim", "payload": []}, {"kind": "step.claim", "x": 1}, [], "x"):
        refused(await key.post(path, body), 422, "bad-request")


async def test_an_act_that_nobody_judges_yet_is_accepted_for_later(
    api: ApiOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    from starter.gateway import Gateway, Outcome  # noqa: PLC0415

    async def waits(*_: object) -> Outcome:
        return Outcome("waiting")

    monkeypatch.setattr(Gateway, "outcome", waits)
    case_id, key = await opened(api, "L-1001"), await api.key()
    answer = await key.act(case_id, "investigate", "step.claim")
    assert (answer.status_code, answer.json()["state"]) == (202, "waiting")


async def test_scopes_are_kept_apart(api: ApiOffice) -> None:
    case_id = await opened(api, "L-1001")
    asked = {
        Scope.READ: lambda key: key.get("/cases"),
        Scope.START: lambda key: key.start("L-1002"),
        Scope.ACT: lambda key: key.act(case_id, "investigate", "step.claim"),
    }
    for scope in Scope:
        key = await api.key(scopes=(scope,))
        for needed, ask in asked.items():
            answer = await ask(key)
            if needed is scope:
                assert answer.is_success
            else:
                assert needed.value in refused(answer, 403, "scope-missing")["detail"]
        assert (await key.get("/whoami")).json()["scopes"] == [scope.value]


async def test_a_promise_that_broke_shows_in_the_list(api: ApiOffice) -> None:
    case_id, key = await opened(api, "L-1001"), await api.key()
    assert (await key.get("/cases?breached=RL-4")).json()["rows"] == []
    await api.agency.pass_time(case_id, timedelta(hours=49))
    await api.agency.chased(case_id, "investigate", 1)
    (row,) = (await key.get("/cases?breached=RL-4")).json()["rows"]
    assert row["case_id"] == case_id
    lines = (await key.get(f"/cases/{case_path(case_id)}/timeline")).json()
    assert "breached" in [line["kind"] for line in lines]


# Department requests --------------------------------------------------------------------------------------------------


async def test_a_request_to_a_department_is_started_once_and_done_by_a_key_of_the_department(api: ApiOffice) -> None:
    desk = await furnish(api.agency)
    key = await api.key("barb")
    body = {"reference": desk.reference, "department": "ppc", "client_id": CLIENT, "title": "Pause it", "hours": 30}
    answers = [await key.post("/cases/department-requests", body, once=once) for once in ("a", "a", "b")]
    assert [one.status_code for one in answers] == [201, 201, 200], answers[0].text
    assert [(one.json()["repeated"], one.json()["replayed"]) for one in answers] == [
        (False, False),
        (False, True),
        (True, False),
    ]
    refused(await key.post("/cases/department-requests", body | {"hours": 3}, once="a"), 422, "idempotency-key-reused")
    refused(await key.post("/cases/department-requests", body | {"hours": 3}, once="c"), 409, "another-content")
    await api.agency.take_in()
    case_id = answers[0].json()["case_id"]
    await api.agency.parked(case_id, "process")
    done = await key.act(case_id, "process", "request.done", note="It is paused.")
    assert (done.status_code, done.json()["state"]) == (200, "accepted"), done.text
    assert (await desk.result(case_id)).status == "done"
    query = "SELECT name, key_id FROM api_key_secrets"
    (row,) = await api.agency.database.fetch(query)
    opened = f"Opened by the API key {row['name']} ({row['key_id']}, api_key)."
    assert opened in await desk.lines(case_id)


NO_SENSE: tuple[tuple[dict[str, Any], str], ...] = (
    ({"department": "nobody"}, "unknown-department"),
    ({"due_on": "2020-01-01"}, "due-over"),
    ({"hours": 3, "new_pages": True}, "due-twice"),
    ({"title": ""}, "title-missing"),
    ({"department": ""}, "department-missing"),
    ({"hours": "3"}, "bad-request"),
)


async def test_a_request_that_makes_no_sense_is_refused(api: ApiOffice) -> None:
    await furnish(api.agency)
    key = await api.key()
    for changes, code in NO_SENSE:
        body = {"reference": "R", "department": "ppc", "title": "Pause it"} | changes
        refused(await key.post("/cases/department-requests", body, once="a"), 422, code)
    assert await api.agency.database.value("SELECT count(*) FROM inbox") == 0
