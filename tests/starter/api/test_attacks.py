"""What a program must not reach by a key, tried through the real doors: money, and whatever breaks a server."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from secrets import token_hex
from typing import Any

import pytest

from adapters.postgres.actors import actor
from domain.api_keys import identity_of
from domain.errors import Refused
from domain.messages import ActKind, Auth
from domain.people import Role
from domain.rules.acts import PAYLOADS
from domain.rules.authority import ACT_RULES
from starter.client import case_path
from starter.gateway import Gateway, Login
from tests.agency import CLIENT
from tests.starter.api.office import ApiOffice, Key, refused
from tests.starter.api.test_cases import opened

MONEY = [kind for kind, rule in ACT_RULES.items() if rule.money]
GOOD = {"client_id": CLIENT, "leads": ["L-1001"], "reference": "R"}
A_RESULT: dict[ActKind, dict[str, Any]] = {
    ActKind.FINDINGS: {"findings": [{"lead_id": "L-1001", "verdict": "valid", "reason": "spam", "text": "A robot."}]},
    ActKind.CONFIRM: {"preview_sha256": "0" * 64},
    ActKind.TRIAGE: {"accept": True, "client_id": CLIENT, "lead_ids": ["L-1001"]},
    ActKind.REDUCE: {"leads": [{"lead_id": "L-1001", "text": "The caller asked for a quote and got one."}]},
}


async def stored(api: ApiOffice) -> list[str]:
    return [row["kind"] for row in await api.agency.database.fetch("SELECT kind FROM acts ORDER BY seq")]


# Money ----------------------------------------------------------------------------------------------------------------


async def test_no_money_act_by_a_key_over_http(api: ApiOffice) -> None:
    """Every kind, by a department's key and by that of a person who may do it signed in."""
    case_id = await opened(api, "L-1001")
    assert {ActKind.FINDINGS, ActKind.CONFIRM, ActKind.AUTHORISE, ActKind.APPROVE, ActKind.SET_POLICY} <= set(MONEY)
    for acts_as in ("team:return-leads", "P-1", "P-3", "P-9"):
        key = await api.key(acts_as)
        for kind in MONEY:
            answer = await key.act(case_id, "investigate", kind.value, **A_RESULT.get(kind, {}))
            assert "person" in refused(answer, 403, "money-needs-a-person")["detail"]
    assert await stored(api) == []


async def test_the_gateway_signs_no_money_for_a_key(api: ApiOffice) -> None:
    """The API's own check is not what it hangs on."""
    case_id, key = await opened(api, "L-1001"), await api.key("P-1")
    key_id = (await key.get("/whoami")).json()["key_id"]
    agency = api.agency
    gateway = Gateway(agency.door_pool, agency.door.intake._vault, agency.client, agency.settings)
    by = Login(identity_of(key_id), Auth.API_KEY, datetime.now(UTC))
    with pytest.raises(Refused) as caught:
        await gateway.sign(case_id, "investigate", ActKind.FINDINGS, A_RESULT[ActKind.FINDINGS], by)
    assert caught.value.code == "auth-not-allowed"
    for kind, payload in (
        (ActKind.SET_POLICY, {"name": "approval-limit", "value": {"amount": "9000.00", "currency": "GBP"}}),
        (ActKind.IMPORT_RATES, {"rates": [{"currency": "EUR", "on": "2026-11-20", "gbp": "0.85"}]}),
    ):
        with pytest.raises(Refused) as caught:
            await gateway.order(kind, payload, by)
        assert caught.value.code == "auth-not-allowed"


@pytest.mark.parametrize("vouched", ["key", "person"])
async def test_the_judge_takes_no_money_act_by_a_key(api: ApiOffice, vouched: str) -> None:
    """Signed with the gateway's own key, as if the gateway had been taken in."""
    case_id, key = await opened(api, "L-1001"), await api.key("P-1")
    key_id = (await key.get("/whoami")).json()["key_id"]
    text = await api.agency.text("A robot filled in the form.")
    findings = {
        "findings": [{"lead_id": "L-1001", "verdict": "valid", "reason": "spam", "text_sha256": text, "evidence": []}]
    }
    who = {"issuer": "api-key", "sub": key_id} if vouched == "key" else {"issuer": "local", "sub": "P-1"}
    auths = ("api_key", "webhook") if vouched == "person" else ("api_key", "oidc", "local")
    for auth in auths:
        act = await api.agency.crafted(case_id, "investigate", ActKind.FINDINGS, findings, "x", actor=who, auth=auth)
        await api.agency.handle(case_id).signal("act", act)
    await api.agency.refused(case_id, "auth-not-allowed")

    async def all_refused() -> bool:
        query = "SELECT coalesce(sum(times), 0) FROM act_refusals WHERE case_id = $1"
        return await api.agency.database.value(query, case_id) == len(auths)

    await api.agency.eventually(all_refused, "not every forged act was refused")
    assert await stored(api) == []


async def test_no_key_holds_a_money_role_whatever_its_person_is(api: ApiOffice) -> None:
    case_id, key = await opened(api, "L-1001"), await api.key("P-3")
    key_id = (await key.get("/whoami")).json()["key_id"]
    money = [Role.ACCOUNTS.value, Role.APPROVER.value, Role.PARTNER.value]
    async with api.agency.door_pool.acquire() as conn:
        found = await actor(conn, identity_of(key_id), case_id, [*money, "team:return-leads"])
    assert found is not None
    assert (found.person_id, found.roles) == ("P-3", frozenset())


async def test_a_key_written_by_hand_as_accounts_is_not_asked(api: ApiOffice) -> None:
    """Even somebody with the tables' owner at hand gets no money role out of a key."""
    key = await api.key()
    who = (await key.get("/whoami")).json()
    await api.agency.database.execute("UPDATE api_keys SET role = 'team:accounts' WHERE name = $1", who["name"])
    case_id = await opened(api, "L-1001")
    refused(await key.act(case_id, "investigate", "step.claim"), 403, "not-asked")
    async with api.agency.door_pool.acquire() as conn:
        found = await actor(conn, identity_of(who["key_id"]), case_id, ["team:accounts"])
    assert found is not None
    assert found.roles == frozenset()


async def test_who_opens_a_case_by_a_key_of_theirs_has_a_hand_in_it(api: ApiOffice) -> None:
    """The requester can't approve: not by asking through a program either (RL-14)."""
    from adapters.postgres.approvers import requesters  # noqa: PLC0415
    from domain.people import Identity  # noqa: PLC0415

    key = await api.key("P-9")
    case_id = (await key.start("L-1001")).json()["case_id"]
    async with api.agency.door_pool.acquire() as conn:
        found = await requesters(conn, api.agency.door.intake._vault, case_id)
    assert Identity(issuer="local", sub="shobhit.patil") in found


async def test_a_revoked_key_is_out_at_once_and_its_act_under_way_too(api: ApiOffice) -> None:
    case_id, key = await opened(api, "L-1001"), await api.key()
    who = (await key.get("/whoami")).json()
    actor_of = {"issuer": "api-key", "sub": who["key_id"]}
    act = await api.agency.crafted(case_id, "investigate", ActKind.CLAIM, {}, "x", actor=actor_of, auth="api_key")
    await api.keys.revoke(who["name"], "otto")
    problem = await key.get("/cases")
    refused(problem, 401, "api-key-revoked")
    assert "invalid_token" in problem.headers["www-authenticate"]
    await api.agency.handle(case_id).signal("act", act)
    await api.agency.refused(case_id, "unknown-person")
    assert await stored(api) == []


# Who comes in ---------------------------------------------------------------------------------------------------------


async def test_without_a_key_nothing_is_said(api: ApiOffice) -> None:
    case_id = await opened(api, "L-1001")
    nobody = api.with_token("")
    for path in ("/cases", f"/cases/{case_path(case_id)}", f"/cases/{case_path(case_id)}/timeline", "/steps", "/whoami",
                 "/find-case?name=x", "/cases/return-lead~nobody", "/cases/x/clocks", "/cases/x/steps"):  # fmt: skip
        for authorization in ("", "Bearer", "Basic aGY6aGY=", "bearer hf_x_y", "Bearer hf_x"):
            headers = {"Authorization": authorization} if authorization else {}
            answer = await nobody.http.get(nobody.url + path, headers=headers)
            assert answer.status_code == 401, (path, authorization)
            assert answer.headers["www-authenticate"].startswith("Bearer")
    for path in ("/cases/return-leads", f"/cases/{case_path(case_id)}/steps/investigate/acts"):
        answer = await nobody.http.post(nobody.url + path, json=GOOD)
        assert answer.status_code == 401
    for path in ("/health", "/ready", "/problems", "/openapi.json"):
        assert (await nobody.http.get(nobody.url + path)).status_code == 200


async def test_a_key_that_asks_too_often_is_told_when_to_come_back(api: ApiOffice) -> None:
    key = await api.key(per_minute=5)
    answers = await asyncio.gather(*(key.get("/whoami") for _ in range(12)))
    assert sorted(one.status_code for one in answers)[:5] == [200] * 5
    late = [one for one in answers if one.status_code == 429]
    assert len(late) >= 6
    for answer in late:
        refused(answer, 429, "too-many-requests")
        assert 1 <= int(answer.headers["retry-after"]) <= 12
        assert answer.headers["ratelimit-policy"] == '"key";q=5;w=60'
        assert answer.headers["ratelimit"].startswith('"key";r=0;t=')
    assert (await (await api.key()).get("/whoami")).status_code == 200


async def test_a_session_of_the_pages_opens_nothing_here(api: ApiOffice) -> None:
    nobody = api.with_token("")
    cookies = {"Cookie": "holdfast_session=x", "Origin": api.address}
    assert (await nobody.http.get(f"{nobody.url}/cases", headers=cookies)).status_code == 401


async def test_the_pages_are_where_they_were(api: ApiOffice) -> None:
    nobody = api.with_token("")
    assert (await nobody.http.get(f"{api.address}/cases")).status_code == 303
    assert (await nobody.http.post(f"{api.address}/cases", json={})).status_code == 403
    assert "form-action" in (await nobody.http.get(f"{api.address}/login")).headers["content-security-policy"]


# What is sent ---------------------------------------------------------------------------------------------------------


async def raw(
    key: Key, body: bytes | AsyncIterator[bytes], path: str = "/cases/return-leads", **headers: str
) -> tuple[int, str]:
    sent = {"Content-Type": "application/json", "Idempotency-Key": token_hex(4)} | headers
    answer = await key.ask("POST", path, content=body, headers=sent)
    return answer.status_code, answer.json()["code"] if answer.status_code >= 400 else ""


NO_GOOD_JSON = (
    (b"", 400, "broken-json"),
    (b"{", 400, "broken-json"),
    (b"\xff\xfe{}", 400, "broken-json"),
    (b'{"a": NaN}', 400, "broken-json"),
    (b'{"a": 1e999}', 400, "broken-json"),
    (b'{"a": ' + b"9" * 5000 + b"}", 400, "broken-json"),
    (b'{"client_id": "a", "client_id": "b"}', 400, "broken-json"),
    (b'{"e\\u0301": 1, "\\u00e9": 2}', 400, "broken-json"),
    (b"[" * 100_000, 400, "broken-json"),
    (b"[" * 45 + b"]" * 45, 400, "broken-json"),
    (b'{"client_id": "\\u0000"}', 400, "unreadable-text"),
    (b'{"client_id": "\\ud800"}', 400, "unreadable-text"),
    (b'{"\\udc00": 1}', 400, "unreadable-text"),
    (b"[]", 422, "bad-request"),
    (b'"x"', 422, "bad-request"),
    (b"null", 422, "bad-request"),
    (b"{}" + b" " * 1_000_000, 413, "too-large"),
)


async def test_what_is_no_good_json_changes_nothing(api: ApiOffice) -> None:
    key = await api.key()
    for body, status, code in NO_GOOD_JSON:
        assert await raw(key, body) == (status, code), body[:40]
        assert await raw(key, body, "/cases/x/steps/y/acts") == (status, code), body[:40]
    assert await api.agency.database.value("SELECT count(*) FROM inbox") == 0


async def test_a_body_that_does_not_say_its_length_is_bounded_too(api: ApiOffice) -> None:
    key = await api.key()

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(30):
            yield b" " * 100_000

    assert await raw(key, endless()) == (413, "too-large")


NOT_PLAIN = (
    {"Content-Type": "text/plain"},
    {"Content-Type": "application/x-www-form-urlencoded"},
    {"Content-Encoding": "gzip"},
    {"Content-Type": "application/json; charset=utf-16"},
    {"Content-Type": "multipart/form-data; boundary=x"},
)


async def test_only_plain_json_is_read(api: ApiOffice) -> None:
    key = await api.key()
    for headers in NOT_PLAIN:
        assert await raw(key, json.dumps(GOOD).encode(), **headers) == (415, "not-json"), headers


async def test_text_is_kept_in_one_form(api: ApiOffice) -> None:
    key = await api.key()
    first = await key.start("L-1001", reference="Caf\u00e9", once="a")
    second = await key.start("L-1001", reference="Cafe\u0301", once="b")
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json()["case_id"] == second.json()["case_id"]


async def test_head_options_and_other_methods(api: ApiOffice) -> None:
    key, case_id = await api.key(), await opened(api, "L-1001")
    here = f"/cases/{case_path(case_id)}"
    for path in ("/cases", here, f"{here}/timeline", "/steps", "/whoami", "/health"):
        got, head = await key.get(path), await key.ask("HEAD", path)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-type"] == got.headers["content-type"]
    for path, allowed in (
        ("/cases", "GET, HEAD, OPTIONS"),
        (here, "GET, HEAD, OPTIONS"),
        (f"{here}/steps/investigate/acts", "OPTIONS, POST"),
        ("/health", "GET, HEAD, OPTIONS"),
    ):
        asked = await key.ask("OPTIONS", path)
        assert (asked.status_code, asked.headers["allow"]) == (204, allowed)
        for method in ("PUT", "PATCH", "DELETE", "TRACE", "BREW"):
            answer = await key.ask(method, path)
            refused(answer, 405, "method-not-allowed")
            assert answer.headers["allow"] == allowed
    assert (await key.ask("OPTIONS", "/cases/return-leads")).headers["allow"] == "OPTIONS, POST"
    refused(await key.get("/cases/return-leads"), 405, "method-not-allowed")
    refused(await key.get("/nothing"), 404, "not-found")
    refused(await key.ask("OPTIONS", "/nothing"), 404, "not-found")
    assert "return-leads" in refused(await key.post("/cases/nothing", GOOD), 405, "method-not-allowed")["detail"]


async def test_addresses_are_text_of_a_sensible_length(api: ApiOffice) -> None:
    key = await api.key()
    for path in ("/cases/%00", "/cases/a%00b/timeline", "/cases?client=%00", "/cases?client=%FF", "/steps?owner=a%00"):
        refused(await key.get(path), 400, "unreadable-text")
    refused(await key.get("/cases?client=" + "x" * 9000), 414, "address-too-long")
    refused(await key.get("/cases/" + "x" * 201), 400, "bad-query")


async def test_every_answer_is_for_this_caller_alone(api: ApiOffice) -> None:
    key = await api.key()
    for answer in (await key.get("/cases"), await key.get("/cases/nobody"), await key.ask("PUT", "/cases")):
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "access-control-allow-origin" not in answer.headers


async def test_every_problem_is_explained_where_its_type_leads(api: ApiOffice) -> None:
    key = await api.key()
    problem = refused(await key.get("/cases/nobody"), 404, "unknown-case")
    meaning = (await key.http.get(problem["type"])).json()
    assert meaning == {name: problem[name] for name in ("code", "status", "title", "then")}
    assert {one["code"] for one in (await key.get("/problems")).json()} >= {"unknown-case", "money-needs-a-person"}
    refused(await key.get("/problems/nothing"), 404, "unknown-problem")


async def test_it_says_so_when_it_can_not_work(api: ApiOffice) -> None:
    key = await api.key()
    assert (await key.get("/ready")).json() == {"status": "ok", "parts": {"database": "ok", "temporal": "ok"}}
    await api.agency.database.execute("ALTER TABLE cases RENAME TO elsewhere")
    answer = await key.get("/cases")
    refused(answer, 503, "unavailable")
    assert answer.headers["retry-after"]


def test_the_table_of_results_covers_what_a_key_may_sign() -> None:
    for kind, rule in ACT_RULES.items():
        assert kind in PAYLOADS
        assert not (rule.money and Auth.API_KEY in rule.auth)
