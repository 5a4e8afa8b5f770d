from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from secrets import token_bytes
from typing import Any, cast

import pytest
import pytest_asyncio
from temporalio.client import Client

from adapters.postgres.crypto import Vault
from domain.acts import ActAnswer
from domain.errors import HoldfastError, Refused
from domain.messages import ActBody, ActKind, Auth, SignedAct
from domain.people import Identity
from domain.return_lead import Findings
from domain.rules.authority import ACT_RULES
from domain.texts import digest
from runtime.connect import connect
from runtime.keys import KeysError
from runtime.settings import Settings
from runtime.temporal_server import TemporalServer, temporal_server
from starter.gateway import Gateway, LocalLogin, Login, Sendable
from tests.conftest import Database
from tests.signing import CASE, CONFIRMATION, ISSUER, Agency, findings, issued, make_agency

LEADS = ["L-1001", "L-1002", "L-1003"]
REASON = "The caller asked for a quote and was given one on the phone."
ANN, BOB, CARL, OTTO = (LocalLogin(person) for person in ("ann", "bob", "carl", "otto"))


def finding(lead: str, verdict: str = "valid", **changes: Any) -> dict[str, Any]:
    return {"lead_id": lead, "verdict": verdict, "reason": "spam", "text": REASON} | changes


GOOD = {"findings": [finding("L-1001"), finding("L-1002"), finding("L-1003", "not-valid")]}


class StraightGateway(Gateway):
    """Hands acts to the judge itself: everything but Temporal is real."""

    agency: Agency
    sent: list[SignedAct]

    async def send(self, signed: Sendable) -> None:
        self.sent.append(signed.act)
        answer: ActAnswer = await self.agency.record(signed.step.step_id, signed.act)
        assert answer.accepted == 0 or answer.refused == 1


async def gateway_for(
    agency: Agency, vault: Vault, settings: Settings, client: Client | None = None
) -> StraightGateway:
    made = StraightGateway(await agency.database.pool("door"), vault, cast("Client", client), settings)
    made.agency, made.sent = agency, []
    return made


def local_settings(folder: Path, **changes: Any) -> Settings:
    return Settings(deployment="test", state_dir=folder, **changes)


@pytest.fixture
def vault() -> Vault:
    return Vault(token_bytes(32))


@pytest.fixture
async def agency(database: Database, vault: Vault, tmp_path: Path) -> Agency:
    made = await make_agency(database, vault, tmp_path, local_counts=True)
    for lead in LEADS:
        await made.add_lead(lead)
    await made.add_case(LEADS)
    await made.ask("investigate")
    return made


@pytest.fixture
async def gateway(agency: Agency, vault: Vault, tmp_path: Path) -> StraightGateway:
    return await gateway_for(agency, vault, local_settings(tmp_path))


async def refused(code: str, work: Any) -> str:
    with pytest.raises(Refused) as caught:
        await work
    assert caught.value.code == code
    return str(caught.value)


# Signing --------------------------------------------------------------------------------------------------------------


async def test_what_is_signed_comes_from_the_tables_and_holds_no_text(agency: Agency, gateway: StraightGateway) -> None:
    signed = await gateway.sign(CASE, "investigate", "return.findings", GOOD, ANN)
    body = ActBody.model_validate_json(signed.act.body)
    assert (body.case_id, body.step_id, body.kind, body.auth) == (CASE, "investigate", "return.findings", "local")
    assert body.actor == Identity(issuer=ISSUER, sub="ann")
    assert body.exp - body.iat == 15 * 60
    assert body.subject_sha256 == signed.subject.sha256
    assert signed.subject.lead_ids == tuple(LEADS)
    assert REASON not in signed.act.body + signed.act.payload
    result = Findings.model_validate_json(signed.act.payload)
    assert {one.text_sha256 for one in result.findings} == {digest(REASON)}


async def test_texts_are_kept_sealed_under_their_hash(agency: Agency, gateway: StraightGateway, vault: Vault) -> None:
    await gateway.sign(CASE, "investigate", "return.findings", GOOD, ANN)
    (row,) = await agency.database.fetch("SELECT sha256, client_id, content_ct FROM texts")
    assert (row["sha256"], row["client_id"]) == (digest(REASON), "acme")
    assert REASON.encode() not in row["content_ct"]
    async with agency.sops.acquire() as conn:
        assert await vault.open(conn, "acme", row["content_ct"]) == REASON.encode()


async def test_a_signed_act_is_accepted_and_answered(agency: Agency, gateway: StraightGateway) -> None:
    answer = await gateway.complete(CASE, "investigate", "return.findings", GOOD, ANN)
    assert (answer.outcome.state, answer.outcome.accepted) == ("accepted", True)
    assert await agency.stored() == ["return.findings"]


async def test_claim_release_and_reassign(agency: Agency, gateway: StraightGateway) -> None:
    assert (await gateway.complete(CASE, "investigate", "step.claim", {}, ANN)).outcome.accepted
    await refused("belongs-to-another", gateway.complete(CASE, "investigate", "return.findings", GOOD, BOB))
    assert (await gateway.complete(CASE, "investigate", "step.release", {}, ANN)).outcome.accepted
    assert (await gateway.complete(CASE, "investigate", "step.reassign", {"to": "bob"}, ANN)).outcome.accepted
    assert (await gateway.complete(CASE, "investigate", "return.findings", GOOD, BOB)).outcome.accepted


async def test_a_confirmation_without_a_preview_is_one_of_its_subject(agency: Agency, gateway: StraightGateway) -> None:
    await gateway.complete(CASE, "investigate", "return.findings", GOOD, ANN)
    await agency.bill(issued("L-1001", "60.00"), issued("L-1002", "60.00"))
    await agency.ask("confirm")
    signed = await gateway.sign(CASE, "confirm", "return.confirm", {}, BOB)
    assert signed.subject.sha256 in signed.act.payload
    assert [str(line.gross) for line in signed.subject.lines] == ["60.00", "60.00"]


async def test_preparing_shows_what_would_be_signed_and_why_not(agency: Agency, gateway: StraightGateway) -> None:
    for_ann = await gateway.prepare(CASE, "investigate", "return.findings", ANN)
    assert (for_ann.code, for_ann.subject.lead_ids) == ("", tuple(LEADS))
    for_otto = await gateway.prepare(CASE, "investigate", "return.findings", OTTO)
    assert (for_otto.code, for_otto.subject) == ("not-asked", for_ann.subject)
    assert (await gateway.prepare(CASE, "investigate", "return.confirm", ANN)).code == "kind-not-asked"


async def test_what_was_changed_between_signing_and_judging_is_refused_with_a_sentence(
    agency: Agency, gateway: StraightGateway
) -> None:
    signed = await gateway.sign(CASE, "investigate", "return.findings", GOOD, ANN)
    await agency.database.execute("UPDATE leads SET price = 1")
    await gateway.send(signed)
    outcome = await gateway.outcome(signed)
    assert (outcome.state, outcome.code) == ("refused", "subject-changed")
    assert "decide anew" in outcome.sentence


async def test_what_nobody_has_judged_yet_is_waiting(gateway: StraightGateway) -> None:
    signed = await gateway.sign(CASE, "investigate", "return.findings", GOOD, ANN)
    assert (await gateway.outcome(signed, timedelta(milliseconds=50))).state == "waiting"


# Refusing before signing ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("case_id", "step_id", "kind", "person", "code"),
    [
        ("return-lead/none", "investigate", "return.findings", "ann", "unknown-case"),
        (CASE, "confirm.9", "return.findings", "ann", "unknown-step"),
        (CASE, "investigate", "return.approve_all", "ann", "unknown-kind"),
        (CASE, "investigate", "return.confirm", "ann", "invalid-result"),
        (CASE, "investigate", "return.findings", "otto", "not-asked"),
        (CASE, "investigate", "return.findings", "nobody", "unknown-person"),
    ],
)
async def test_what_can_not_be_is_refused_before_it_is_signed(  # noqa: PLR0917
    agency: Agency, gateway: StraightGateway, case_id: str, step_id: str, kind: str, person: str, code: str
) -> None:
    await refused(code, gateway.complete(case_id, step_id, kind, GOOD, LocalLogin(person)))
    assert gateway.sent == []
    assert await agency.database.value("SELECT count(*) FROM texts") == 0


async def test_a_step_that_is_done_is_not_signed_for(agency: Agency, gateway: StraightGateway) -> None:
    await gateway.complete(CASE, "investigate", "return.findings", GOOD, ANN)
    await refused("step-already-done", gateway.sign(CASE, "investigate", "return.findings", GOOD, BOB))


async def test_a_person_who_left_does_not_sign(agency: Agency, gateway: StraightGateway) -> None:
    await agency.database.execute("UPDATE people SET active = false WHERE person_id = 'ann'")
    await refused("unknown-person", gateway.sign(CASE, "investigate", "return.findings", GOOD, ANN))


async def test_whoever_investigated_is_not_signed_for_as_accounts(agency: Agency, gateway: StraightGateway) -> None:
    await agency.does("carl", ActKind.FINDINGS, findings(LEADS))
    await agency.bill(*(issued(lead, "60.00") for lead in LEADS))
    await agency.does("bob", ActKind.CONFIRM, CONFIRMATION)
    await agency.ask("authorise")
    await refused("may-not-authorise", gateway.sign(CASE, "authorise", "return.authorise", {}, CARL))


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        ({}, "invalid-result"),
        ({"findings": []}, "invalid-result"),
        ({"findings": "all"}, "invalid-result"),
        ({**GOOD, "approved": True}, "invalid-result"),
        ({"findings": [finding("L-1001", admin=True)]}, "invalid-result"),
        ({"findings": [finding("L-1001", "maybe")]}, "invalid-result"),
        ({"findings": [finding("L-1001", reason="because")]}, "invalid-result"),
        ({"findings": [finding("nonsense")]}, "invalid-result"),
        ({"findings": [finding("L-1001", evidence=["x"])]}, "invalid-result"),
        ({"findings": [finding("L-1001")]}, "leads-do-not-fit"),
        ({"findings": [finding("L-1001"), finding("L-1002"), finding("L-9999")]}, "leads-do-not-fit"),
        ({"findings": [finding("L-1001"), finding("L-1002"), finding("L-1002")]}, "leads-do-not-fit"),
        ({"findings": [finding(lead, text="a\0b") for lead in LEADS]}, "unreadable-text"),
        ({"findings": [finding(lead, text="\ud800") for lead in LEADS]}, "unreadable-text"),
        ({"findings": [finding(lead, text="x" * 5001) for lead in LEADS]}, "text-too-long"),
        ({"findings": [finding(lead, evidence=["0" * 64]) for lead in LEADS]}, "unknown-evidence"),
    ],
)
async def test_bad_findings_are_refused_at_the_door(
    agency: Agency, gateway: StraightGateway, payload: dict[str, Any], code: str
) -> None:
    await refused(code, gateway.complete(CASE, "investigate", "return.findings", payload, ANN))
    assert gateway.sent == []
    assert await agency.database.value("SELECT count(*) FROM texts") == 0


# Who signed in how ----------------------------------------------------------------------------------------------------


def login(auth: Auth, person: str = "ann", minutes: float = 0) -> Login:
    identity = Identity(issuer=ISSUER, sub=person)
    return Login(identity, auth, datetime.now(UTC) - timedelta(minutes=minutes, seconds=2))


@pytest.mark.parametrize("auth", [auth for auth in Auth if auth is not Auth.LOCAL])
@pytest.mark.parametrize("kind", [ActKind.FINDINGS, ActKind.CLAIM])
async def test_the_gateway_keeps_to_the_table_of_who_may_sign_what(
    gateway: StraightGateway, kind: ActKind, auth: Auth
) -> None:
    payload = GOOD if kind is ActKind.FINDINGS else {}
    work = gateway.sign(CASE, "investigate", kind, payload, login(auth))
    if auth in ACT_RULES[kind].auth:
        assert ActBody.model_validate_json((await work).act.body).auth == auth
    else:
        await refused("auth-not-allowed", work)


async def test_nobody_passes_a_local_login_off_as_an_identity_providers(gateway: StraightGateway) -> None:
    await refused("auth-not-allowed", gateway.sign(CASE, "investigate", "return.findings", GOOD, login(Auth.LOCAL)))


async def test_money_wants_a_login_of_the_last_fifteen_minutes(gateway: StraightGateway) -> None:
    await gateway.sign(CASE, "investigate", "return.findings", GOOD, login(Auth.OIDC, minutes=14))
    old = login(Auth.OIDC, minutes=16)
    await refused("login-too-old", gateway.sign(CASE, "investigate", "return.findings", GOOD, old))
    await gateway.sign(CASE, "investigate", "step.claim", {}, old)


async def test_an_identity_of_another_issuer_is_nobody(gateway: StraightGateway) -> None:
    other = Login(Identity(issuer="https://evil.example", sub="ann"), Auth.OIDC, datetime.now(UTC))
    await refused("unknown-person", gateway.sign(CASE, "investigate", "return.findings", GOOD, other))


async def test_local_mode_with_a_real_vendor_refuses_to_start(agency: Agency, vault: Vault, tmp_path: Path) -> None:
    mixed = local_settings(tmp_path, xero_address="https://api.xero.com", xero_token="real")
    with pytest.raises(HoldfastError, match="not on loopback"):
        await gateway_for(agency, vault, mixed)


async def test_production_makes_no_key_and_takes_no_local_login(agency: Agency, vault: Vault, tmp_path: Path) -> None:
    real = partial(local_settings, mode="production", approver_issuer=ISSUER)
    with pytest.raises(KeysError):
        await gateway_for(agency, vault, real(tmp_path / "empty"))
    gateway = await gateway_for(agency, vault, real(tmp_path))
    await refused("auth-not-allowed", gateway.sign(CASE, "investigate", "return.findings", GOOD, ANN))
    assert (await gateway.sign(CASE, "investigate", "return.findings", GOOD, login(Auth.OIDC))).act.signature


# Lead by lead ---------------------------------------------------------------------------------------------------------


async def test_findings_are_put_down_lead_by_lead_and_signed_together(agency: Agency, gateway: StraightGateway) -> None:
    assert await gateway.put_down(CASE, "investigate", finding("L-1001"), ANN) == (1, 3)
    assert await gateway.put_down(CASE, "investigate", finding("l-1002"), BOB) == (2, 3)
    await refused("leads-do-not-fit", gateway.complete_drafted(CASE, "investigate", ANN))
    assert await gateway.put_down(CASE, "investigate", finding("L-1001", "not-valid"), ANN) == (2, 3)
    assert await gateway.put_down(CASE, "investigate", finding("L-1003"), ANN) == (3, 3)
    assert (await gateway.complete_drafted(CASE, "investigate", ANN)).outcome.accepted
    stored = Findings.model_validate_json(str(await agency.database.value("SELECT payload FROM acts")))
    assert {one.lead_id: one.verdict.value for one in stored.findings} == {
        "L-1001": "not-valid",
        "L-1002": "valid",
        "L-1003": "valid",
    }
    assert await agency.database.value("SELECT draft_ct FROM case_steps") is None


async def test_a_draft_is_sealed_and_outlives_a_chase(agency: Agency, gateway: StraightGateway) -> None:
    await gateway.put_down(CASE, "investigate", finding("L-1001"), ANN)
    sealed = await agency.database.value("SELECT draft_ct FROM case_steps")
    assert isinstance(sealed, bytes)
    assert REASON.encode() not in sealed
    await agency.ask("investigate", chased=1)
    assert list(await gateway.drafted(CASE, "investigate")) == ["L-1001"]


@pytest.mark.parametrize(
    ("one", "person", "code"),
    [
        (finding("L-9999"), ANN, "unknown-lead"),
        (finding("L-1001", "not-valid", text="not valid"), ANN, "reason-too-thin"),
        (finding("L-1001", extra=1), ANN, "invalid-result"),
        (finding("L-1001"), OTTO, "not-asked"),
    ],
)
async def test_a_bad_draft_is_refused(
    agency: Agency, gateway: StraightGateway, one: dict[str, Any], person: LocalLogin, code: str
) -> None:
    await refused(code, gateway.put_down(CASE, "investigate", one, person))
    assert await agency.database.value("SELECT draft_ct FROM case_steps") is None


async def test_evidence_is_kept_sealed_and_named_by_its_hash(agency: Agency, gateway: StraightGateway) -> None:
    sha = await gateway.keep_evidence(CASE, "investigate", b"%PDF-1.7", ANN, name="a.pdf")
    assert sha == digest(b"%PDF-1.7")
    proof = {"findings": [finding(lead, evidence=[sha]) for lead in LEADS]}
    assert (await gateway.complete(CASE, "investigate", "return.findings", proof, ANN)).outcome.accepted
    more = gateway.keep_evidence(CASE, "investigate", b"x", OTTO, name="x.txt")
    await refused("step-already-done", more)


async def test_evidence_has_a_size(gateway: StraightGateway) -> None:
    for content in (b"", b"x" * 5_000_001):
        await refused("evidence-size", gateway.keep_evidence(CASE, "investigate", content, ANN, name="x.txt"))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("page.html", b"<form action=/logout method=post><input name=csrf></form>"),
        ("picture.svg", b'<svg xmlns="http://www.w3.org/2000/svg" onload="fetch(1)"/>'),
        ("page.txt", b"\n<!DOCTYPE html><form action=/logout method=post>"),
        ("page.pdf", b"<html><script>fetch('/logout', {method: 'POST'})</script>"),
    ],
)
async def test_a_page_or_a_drawing_that_posts_is_no_evidence_at_any_door(
    agency: Agency, gateway: StraightGateway, name: str, content: bytes
) -> None:
    await refused("evidence-type", gateway.keep_evidence(CASE, "investigate", content, ANN, name=name))
    assert await agency.database.value("SELECT count(*) FROM texts WHERE name <> ''") == 0


# On a real Temporal server --------------------------------------------------------------------------------------------


@pytest_asyncio.fixture
async def temporal() -> AsyncGenerator[TemporalServer]:
    async with temporal_server() as server:
        yield server


async def test_a_case_that_is_not_running_is_said_to_be(
    agency: Agency, vault: Vault, tmp_path: Path, temporal: TemporalServer
) -> None:
    settings = local_settings(tmp_path)
    client = await connect(settings, address=temporal.address)
    gateway = Gateway(await agency.database.pool("door"), vault, client, settings)
    await refused("case-not-running", gateway.complete(CASE, "investigate", "return.findings", GOOD, ANN))


# Approvals and orders -------------------------------------------------------------------------------------------------

SHOBHIT, PIA = LocalLogin("shobhit"), LocalLogin("pia")


async def _put_to_the_approver(agency: Agency, gateway: StraightGateway) -> None:
    await gateway.complete(CASE, "investigate", "return.findings", GOOD, ANN)
    await agency.bill(issued("L-1001", "400.00"), issued("L-1002", "400.00"))
    await agency.ask("approval")


async def test_what_is_approved_is_what_was_shown(agency: Agency, gateway: StraightGateway) -> None:
    await _put_to_the_approver(agency, gateway)
    shown = await gateway.about(CASE, "approval", "return.approve")
    await agency.bill(issued("L-1001", "4000.00"))
    work = gateway.complete(CASE, "approval", "return.approve", {}, SHOBHIT, shown=shown.sha256)
    await refused("subject-changed", work)
    assert await agency.stored() == ["return.findings"]
    again = await gateway.about(CASE, "approval", "return.approve")
    done = await gateway.complete(CASE, "approval", "return.approve", {}, SHOBHIT, shown=again.sha256)
    assert done.outcome.accepted


async def test_nothing_is_signed_for_who_may_not_approve(agency: Agency, gateway: StraightGateway) -> None:
    await _put_to_the_approver(agency, gateway)
    for by, code in ((ANN, "not-asked"), (OTTO, "not-asked"), (PIA, "not-asked")):
        await refused(code, gateway.sign(CASE, "approval", "return.approve", {}, by))
    await refused("nothing-to-withdraw", gateway.sign(CASE, "approval", "return.withdraw", {}, SHOBHIT))
    await refused("reason-missing", gateway.sign(CASE, "approval", "return.reject", {}, SHOBHIT))
    await agency.database.execute("UPDATE clients SET csm_id = 'shobhit'")
    await refused("may-not-approve", gateway.sign(CASE, "approval", "return.approve", {}, SHOBHIT))


async def test_an_approval_is_withdrawn_after_its_step_is_done(agency: Agency, gateway: StraightGateway) -> None:
    await _put_to_the_approver(agency, gateway)
    await gateway.complete(CASE, "approval", "return.approve", {}, SHOBHIT)
    await agency.ask("confirm")
    signed = await gateway.sign(CASE, "approval", "return.withdraw", {}, SHOBHIT)
    assert (await agency.record("confirm", signed.act)).data["withdrawn"] == signed.jti
    await refused("kind-not-asked", gateway.sign(CASE, "confirm", "return.withdraw", {}, SHOBHIT))


async def test_orders_are_signed_for_partners_and_nobody_else(agency: Agency, gateway: StraightGateway) -> None:
    payload = {"name": "approval-limit", "value": {"amount": "400.00"}}
    await refused("not-a-setter", gateway.order("policy.set", payload, OTTO))
    await refused("unknown-kind", gateway.order("step.done", {}, PIA))
    jti = await gateway.order("policy.set", payload, PIA)
    assert await agency.database.value("SELECT act_jti FROM policy WHERE version = 2") == jti
