import itertools
import json
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.api_keys import identity_of
from domain.case import Model
from domain.department_request import Estimate, Routed
from domain.errors import Refused
from domain.messages import ACT_DOMAIN, ActBody, ActKind, Auth, SignedAct
from domain.money import Money
from domain.orders import PolicyOrder, PriceIn, PricesOrder, RateIn, RatesOrder, StandInOrder
from domain.people import Identity, Role
from domain.return_lead import (
    Authorisation,
    Claimed,
    Confirmation,
    Decision,
    FinalDecision,
    Finding,
    Findings,
    Mark,
    Move,
    Reason,
    Reassignment,
    Reduction,
    ReplyMark,
    StepResult,
    Triage,
    Verdict,
    Withdrawal,
)
from domain.rules.acts import (
    OWNERSHIP,
    PAYLOADS,
    REFUSALS,
    SUBJECTS,
    Actor,
    Asked,
    Opened,
    Ownership,
    Past,
    changed,
    entitlement,
    lifetime,
    open_act,
    parse_body,
    parse_payload,
    refusal,
    sentence,
    subject_name,
    unfit,
    untimely,
    written,
)
from domain.rules.authority import ACT_RULES, ORDERS
from domain.texts import canonical, digest
from runtime.keys import Keyring, Signer, local_signer, ring_path, rotate, signed_act

NOW = 1_800_000_000
ANN = Identity(issuer="https://login.example", sub="ann")
BOB = Identity(issuer="https://login.example", sub="bob")
SHA = "a" * 64
RESULTS: dict[ActKind, Model] = {
    ActKind.CLAIM: Claimed(),
    ActKind.RELEASE: Claimed(),
    ActKind.REASSIGN: Reassignment(to="bob"),
    ActKind.MOVE: Move(due=datetime.fromtimestamp(NOW + 3600, UTC), reason_sha256=SHA),
    ActKind.DONE: StepResult(),
    ActKind.WAIVE: StepResult(note_sha256=SHA),
    ActKind.RESEND: StepResult(),
    ActKind.TRIAGE: Triage(accept=False),
    ActKind.FINDINGS: Findings(
        findings=(Finding(lead_id="L-1001", verdict=Verdict.VALID, reason=Reason.SPAM, text_sha256=SHA),)
    ),
    ActKind.CONFIRM: Confirmation(preview_sha256=SHA),
    ActKind.REDUCE: Reduction(leads=(Withdrawal(lead_id="L-1001", text_sha256=SHA),)),
    ActKind.TAKEN_OFF: StepResult(),
    ActKind.AUTHORISE: Authorisation(),
    ActKind.DECLINE: Authorisation(reason_sha256=SHA),
    ActKind.ALLOCATED: StepResult(),
    ActKind.APPROVE: Decision(),
    ActKind.REJECT: Decision(reason_sha256=SHA),
    ActKind.ASK_BACK: Decision(reason_sha256=SHA),
    ActKind.ROUTED: Routed(department="ppc"),
    ActKind.ESTIMATED: Estimate(hours=36),
    ActKind.PROCESSED: StepResult(note_sha256=SHA),
    ActKind.WITHDRAW: Decision(),
    ActKind.MARK: Mark(mark=ReplyMark.DISPUTES, lead_ids=("L-1001",)),
    ActKind.DECIDED: FinalDecision(upheld=(Withdrawal(lead_id="L-1001", text_sha256=SHA),)),
    ActKind.SET_POLICY: PolicyOrder(name="approval-limit", value=Money(amount=Decimal(400))),
    ActKind.SET_PRICES: PricesOrder(prices=(PriceIn(lead_id="L-1", price=Money(amount=Decimal("50.00"))),)),
    ActKind.IMPORT_RATES: RatesOrder(rates=(RateIn(currency="EUR", on=date(2026, 3, 9), gbp=Decimal("0.8612")),)),
    ActKind.SET_STAND_IN: StandInOrder(
        approver=Identity(issuer="i", sub="shobhit"),
        stand_in=Identity(issuer="i", sub="otto"),
        starts=date(2026, 3, 9),
        ends=date(2026, 3, 20),
        ceiling_gbp=Decimal(2000),
    ),
}
# What the table of who may sign what says, written down a second time: people, machines, and never mail or chat.
PEOPLE_ONLY = {Auth.OIDC, Auth.LOCAL}
MAY_SIGN: dict[ActKind, set[Auth]] = dict.fromkeys(ActKind, PEOPLE_ONLY) | {
    ActKind.CLAIM: PEOPLE_ONLY | {Auth.API_KEY},
    ActKind.RELEASE: PEOPLE_ONLY | {Auth.API_KEY},
    ActKind.REASSIGN: PEOPLE_ONLY | {Auth.API_KEY},
    ActKind.DONE: PEOPLE_ONLY | {Auth.API_KEY, Auth.WEBHOOK},
    ActKind.ROUTED: PEOPLE_ONLY | {Auth.API_KEY},
    ActKind.ESTIMATED: PEOPLE_ONLY | {Auth.API_KEY},
    ActKind.PROCESSED: PEOPLE_ONLY | {Auth.API_KEY},
}


@pytest.fixture
def signer(tmp_path: Path) -> Signer:
    return local_signer(tmp_path / "keys")


@pytest.fixture
def keys(signer: Signer, tmp_path: Path) -> Keyring:
    return Keyring(ring_path(tmp_path / "keys"))


def body(kind: ActKind = ActKind.FINDINGS, **changes: Any) -> ActBody:
    plain = ActBody(
        kid="", jti="j-1", kind=kind.value, deployment="test", case_id="c", workflow_id="c", step_id="investigate",
        subject_sha256=SHA, payload_sha256="", actor=ANN, auth="oidc", auth_time=NOW, iat=NOW, exp=NOW + 900,
    )  # fmt: skip
    return plain.model_copy(update=changes)


def act(signer: Signer, kind: ActKind = ActKind.FINDINGS, **changes: Any) -> SignedAct:
    return signed_act(signer, body(kind, **changes), RESULTS[kind])


def forged(signer: Signer, text: str, payload: str = "{}") -> SignedAct:
    """Bytes signed as they are, however malformed."""
    return SignedAct(body=text, payload=payload, signature=signer.sign(ACT_DOMAIN + text.encode()))


def asked(kind: ActKind = ActKind.FINDINGS, **changes: Any) -> Asked:
    plain: dict[str, Any] = {
        "deployment": "test",
        "case_id": "c",
        "workflow_id": "c",
        "step_id": "investigate",
        "kinds": (kind.value,),
        "role": Role.RETURN_LEADS.value,
        "now": NOW,
        "local_counts": False,
    }
    return Asked(**plain | changes)


def judged(opened: Opened, expected: Asked) -> str:
    return refusal(opened, expected, SHA)


def code_of(signed: SignedAct, keys: Keyring) -> str:
    try:
        open_act(signed, keys)
    except Refused as refused:
        return refused.code if str(refused) == sentence(refused.code) else f"{refused.code}: {refused}"
    return ""


# The table ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "auth", "local"), list(itertools.product(RESULTS, Auth, (False, True))))
def test_each_cell_of_who_may_sign_what(kind: ActKind, auth: Auth, local: bool, signer: Signer, keys: Keyring) -> None:
    actor = identity_of("k2") if auth is Auth.API_KEY else ANN
    opened = open_act(act(signer, kind, auth=auth.value, actor=actor), keys)
    allowed = auth in MAY_SIGN[kind] and (auth is not Auth.LOCAL or local)
    expected = ("kind-not-asked" if kind in ORDERS else "") if allowed else "auth-not-allowed"
    assert judged(opened, asked(kind, local_counts=local)) == expected


@pytest.mark.parametrize("machine", [Auth.API_KEY, Auth.WEBHOOK])
def test_a_step_that_can_let_money_go_is_ended_by_no_machine(machine: Auth, signer: Signer, keys: Keyring) -> None:
    """What could not be sent is tried again, waived, or done by hand: with money in it, all three are a person's."""
    actor = identity_of("k2") if machine is Auth.API_KEY else ANN
    opened = open_act(act(signer, ActKind.DONE, auth=machine.value, actor=actor), keys)
    assert judged(opened, asked(ActKind.DONE)) == ""
    mending = asked(kinds=(ActKind.DONE.value, ActKind.RESEND.value))
    assert judged(opened, mending) == "money-needs-a-person"
    person = open_act(act(signer, ActKind.DONE), keys)
    assert judged(person, mending) == ""


@pytest.mark.parametrize("kind", [ActKind.DONE, ActKind.FINDINGS])
def test_a_key_is_no_person_and_a_person_no_key(kind: ActKind, signer: Signer, keys: Keyring) -> None:
    for auth in Auth:
        vouched = ANN if auth is Auth.API_KEY else identity_of("k2")
        opened = open_act(act(signer, kind, auth=auth.value, actor=vouched), keys)
        assert judged(opened, asked(kind, local_counts=True)) == "auth-not-allowed"


def test_every_kind_has_a_rule_a_payload_and_a_result_in_one_form() -> None:
    assert set(ACT_RULES) == set(PAYLOADS) == set(RESULTS) == set(ActKind)
    for kind, result in RESULTS.items():
        assert parse_payload(kind, written(result)) == result


def test_money_is_signed_by_people_only() -> None:
    for kind, rule in ACT_RULES.items():
        if rule.money:
            assert rule.auth == PEOPLE_ONLY, kind


def test_kinds_about_money_have_their_set_fixed() -> None:
    assert SUBJECTS == {
        ActKind.FINDINGS: "all",
        ActKind.CONFIRM: "valid",
        ActKind.REDUCE: "open",
        ActKind.AUTHORISE: "issued",
        ActKind.DECLINE: "issued",
        ActKind.ALLOCATED: "issued",
        ActKind.APPROVE: "approval",
        ActKind.REJECT: "approval",
        ActKind.ASK_BACK: "approval",
        ActKind.DECIDED: "refused",
    }
    assert subject_name(ActKind.CLAIM) == "step"


# The bytes ------------------------------------------------------------------------------------------------------------


def test_a_good_act_opens(signer: Signer, keys: Keyring) -> None:
    opened = open_act(act(signer), keys)
    assert opened.body.kid == signer.kid
    assert opened.result == RESULTS[ActKind.FINDINGS]
    assert judged(opened, asked()) == ""


def test_an_unsigned_act_is_refused(signer: Signer, keys: Keyring) -> None:
    good = act(signer)
    assert code_of(good.model_copy(update={"signature": ""}), keys) == "unsigned"


def test_a_key_nobody_knows_is_refused_and_said_to_be(keys: Keyring, tmp_path: Path) -> None:
    assert code_of(act(local_signer(tmp_path / "other")), keys) == "unknown-key"


def test_a_known_name_on_another_key_is_a_bad_signature(signer: Signer, keys: Keyring, tmp_path: Path) -> None:
    other = local_signer(tmp_path / "other")
    assert code_of(act(Signer(signer.kid, other.private)), keys) == "bad-signature"


def test_one_key_can_not_speak_in_the_name_of_another(signer: Signer, tmp_path: Path) -> None:
    new = rotate(tmp_path / "keys", datetime.fromtimestamp(NOW, UTC))
    both = Keyring(ring_path(tmp_path / "keys"))
    assert code_of(act(Signer(signer.kid, new.private)), both) == "bad-signature"


def test_a_retired_key_opens_and_signs_nothing_new(signer: Signer, tmp_path: Path) -> None:
    before = act(signer)
    rotate(tmp_path / "keys", datetime.fromtimestamp(NOW + 1, UTC))
    opened = open_act(before, Keyring(ring_path(tmp_path / "keys")))
    assert judged(opened, asked()) == "retired-key"


def test_a_swapped_payload_is_refused(signer: Signer, keys: Keyring) -> None:
    decline = act(signer, ActKind.DECLINE)
    swapped = decline.model_copy(update={"payload": written(Authorisation())})
    assert code_of(swapped, keys) == "payload-changed"


def test_a_refusal_can_not_be_turned_into_an_authorisation(signer: Signer, keys: Keyring) -> None:
    decline = act(signer, ActKind.DECLINE)
    turned = decline.model_copy(update={"body": decline.body.replace("return.decline", "return.authorise")})
    assert code_of(turned, keys) == "bad-signature"


def test_a_signature_without_our_domain_is_none(signer: Signer, keys: Keyring) -> None:
    good = act(signer)
    bare = good.model_copy(update={"signature": signer.sign(good.body.encode())})
    assert code_of(bare, keys) == "bad-signature"


def _malformed() -> Mapping[str, str]:
    plain = body().model_dump(mode="json") | {"kid": "k", "payload_sha256": digest("{}")}
    text = canonical(plain)
    without = {key: value for key, value in plain.items() if key != "acting_for"}
    return {
        "an unknown key": canonical(plain | {"admin": True}),
        "an unknown key inside": canonical(plain | {"actor": {"issuer": "i", "sub": "s", "role": "approver"}}),
        "a key twice": text.replace('"auth":"oidc"', '"auth":"email","auth":"oidc"'),
        "a key twice inside": text.replace('"sub":"ann"', '"sub":"bob","sub":"ann"'),
        "a missing key": canonical(without),
        "spaces": json.dumps(plain, sort_keys=True),
        "another order": json.dumps(plain, separators=(",", ":")),
        "an escaped letter": text.replace('"oidc"', '"\\u006fidc"'),
        "a float": text.replace(f'"iat":{NOW}', f'"iat":{NOW}.0'),
        "an exponent": text.replace(f'"iat":{NOW}', '"iat":18e8'),
        "a number as text": text.replace(f'"iat":{NOW}', f'"iat":"{NOW}"'),
        "a truth value for a number": text.replace(f'"iat":{NOW}', '"iat":true'),
        "another version": text.replace('"v":1', '"v":2'),
        "NUL": text.replace('"jti":"j-1"', '"jti":"j\\u0000"'),
        "a lone surrogate": text.replace('"jti":"j-1"', '"jti":"\\ud800"'),
        "NaN": text.replace(f'"iat":{NOW}', '"iat":NaN'),
        "something after it": text + " ",
        "a list": f"[{text}]",
        "no JSON": "hello",
        "nothing": "",
        "depth": "[" * 30_000,
    }


@pytest.mark.parametrize("what", list(_malformed()))
def test_signed_bytes_in_any_but_the_one_form_are_malformed(what: str, signer: Signer, keys: Keyring) -> None:
    assert code_of(forged(signer, _malformed()[what]), keys) == "malformed"


@pytest.mark.parametrize(
    "payload", ['{"findings":[]} ', '{"findings":[],"x":1}', "[]", "null", '{"findings":[],"findings":[]}']
)
def test_a_result_in_any_but_the_one_form_is_malformed(payload: str, signer: Signer, keys: Keyring) -> None:
    text = canonical(body(kid=signer.kid, payload_sha256=digest(payload)).model_dump(mode="json"))
    assert code_of(forged(signer, text, payload), keys) == "payload-malformed"


def test_a_kind_nobody_knows_is_refused(signer: Signer, keys: Keyring) -> None:
    text = canonical(
        body(kid=signer.kid, payload_sha256=digest("{}")).model_dump(mode="json") | {"kind": "return.approve_all"}
    )
    assert code_of(forged(signer, text), keys) == "unknown-kind"


def test_too_much_is_refused_before_anything_else(keys: Keyring) -> None:
    large = SignedAct.model_construct(body="x" * 64_001, payload="{}", signature="A" * 86)
    assert code_of(large, keys) == "too-large"
    umlauts = SignedAct(body="ä" * 40_000, payload="{}", signature="A" * 86)
    assert code_of(umlauts, keys) == "too-large"
    broken = SignedAct.model_construct(body="\ud800", payload="{}", signature="A" * 86)
    assert code_of(broken, keys) == "malformed"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300, deadline=None)
@given(data=st.data())
def test_no_mutation_of_a_signed_act_is_taken(data: st.DataObject, signer: Signer, keys: Keyring) -> None:
    good = act(signer)
    part = data.draw(st.sampled_from(["body", "payload", "signature"]))
    text: str = getattr(good, part)
    at = data.draw(st.integers(0, len(text) - 1))
    mutated = data.draw(
        st.sampled_from(
            [
                text[:at] + text[at + 1 :],
                text[:at] + data.draw(st.characters()) + text[at:],
                text[:at] + data.draw(st.characters()) + text[at + 1 :],
                text[:at] + text[at:] * 2,
                text[:at].upper() + text[at:],
            ]
        )
    )
    changed_act = good.model_copy(update={part: mutated})
    assert bool(code_of(changed_act, keys)) == (mutated != text)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200, deadline=None)
@given(
    text=st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=20),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=6),
        max_leaves=12,
    ).map(json.dumps)
    | st.text(max_size=200)
)
def test_whatever_is_signed_opens_only_in_its_one_form(text: str, signer: Signer, keys: Keyring) -> None:
    try:
        raw = text.encode()
    except UnicodeEncodeError:
        return
    signed = SignedAct(body=text, payload="{}", signature=signer.sign(ACT_DOMAIN + raw))
    code = code_of(signed, keys)
    if not code:
        assert canonical(parse_body(text).model_dump(mode="json")) == text


# The fit --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"deployment": "production"}, "wrong-deployment"),
        ({"case_id": "d"}, "wrong-case"),
        ({"workflow_id": "c/cycle-2"}, "wrong-workflow"),
        ({"step_id": "confirm"}, "no-such-step"),
        ({"subject_sha256": "b" * 64}, "subject-changed"),
        ({"acting_for": "shobhit"}, "acting-for-not-allowed"),
        ({"auth": "magic"}, "auth-not-allowed"),
        ({"iat": NOW + 1, "auth_time": NOW, "exp": NOW + 900}, "issued-in-the-future"),
        ({"auth_time": NOW + 1}, "issued-in-the-future"),
        ({"iat": NOW - 901, "auth_time": NOW - 901, "exp": NOW - 1}, "expired"),
        ({"exp": NOW + 901}, "lives-too-long"),
        ({"auth_time": NOW - 901}, "login-too-old"),
    ],
)
def test_an_act_for_something_else_or_another_time_is_refused(
    changes: dict[str, Any], code: str, signer: Signer, keys: Keyring
) -> None:
    assert judged(open_act(act(signer, **changes), keys), asked()) == code


def test_the_edges_of_time_are_still_good(signer: Signer, keys: Keyring) -> None:
    edge = act(signer, iat=NOW - 900, auth_time=NOW - 900, exp=NOW)
    assert judged(open_act(edge, keys), asked()) == ""


def test_money_lives_fifteen_minutes_and_the_rest_a_day() -> None:
    for kind in ActKind:
        short = ACT_RULES[kind].money and kind is not ActKind.WITHDRAW  # which waits for a worker to come back
        assert lifetime(kind) == (timedelta(minutes=15) if short else timedelta(hours=24))
    claim = body(ActKind.CLAIM, iat=NOW - 80_000, auth_time=NOW - 80_000, exp=NOW + 6_400)
    assert untimely(claim, NOW) == ""


def test_a_kind_that_the_step_does_not_ask_for_is_refused_but_any_step_changes_hands(
    signer: Signer, keys: Keyring
) -> None:
    for kind in RESULTS:
        code = judged(open_act(act(signer, kind), keys), asked(kinds=("something.else",)))
        assert code == ("" if kind in OWNERSHIP else "kind-not-asked")


def test_without_an_open_step_every_act_is_a_stray(signer: Signer, keys: Keyring) -> None:
    assert judged(open_act(act(signer, step_id=""), keys), asked(step_id="")) == "no-such-step"


def member(who: Identity = ANN, *roles: str, manages: tuple[str, ...] = ()) -> Actor:
    return Actor(who.sub, who, frozenset(roles), frozenset(manages))


TEAM, ACCOUNTS, APPROVER = Role.RETURN_LEADS.value, Role.ACCOUNTS.value, Role.APPROVER.value


def test_only_those_asked_may_answer() -> None:
    assert entitlement(ActKind.FINDINGS, member(ANN, TEAM), TEAM, Ownership(), Past()) == ""
    assert entitlement(ActKind.FINDINGS, member(ANN), TEAM, Ownership(), Past()) == "not-asked"


@pytest.mark.parametrize(("kind", "needed"), [(k, r.role) for k, r in ACT_RULES.items() if r.role])
def test_a_fixed_role_counts_whatever_role_the_workflow_asks(kind: ActKind, needed: Role) -> None:
    asked_role = Role.OPERATIONS.value
    assert entitlement(kind, member(ANN, asked_role), asked_role, Ownership(), Past()) == "not-asked"
    assert entitlement(kind, member(ANN, needed.value), asked_role, Ownership(), Past()) == ""


@pytest.mark.parametrize("owner", [Ownership(claimed_by="bob"), Ownership(reassigned_to="bob")])
def test_what_belongs_to_another_can_not_be_completed_or_taken_away(owner: Ownership) -> None:
    ann = member(ANN, TEAM)
    for kind in (ActKind.FINDINGS, ActKind.RELEASE, ActKind.REASSIGN, ActKind.MOVE):
        assert entitlement(kind, ann, TEAM, owner, Past()) == "belongs-to-another"
    claimed = "belongs-to-another" if owner.claimed_by else ""
    assert entitlement(ActKind.CLAIM, ann, TEAM, owner, Past()) == claimed


def test_a_manager_may_free_a_step_and_not_answer_in_anothers_place() -> None:
    mia, taken = member(ANN, TEAM, manages=(TEAM,)), Ownership(claimed_by="bob")
    for kind in (ActKind.RELEASE, ActKind.REASSIGN, ActKind.MOVE):
        assert entitlement(kind, mia, TEAM, taken, Past()) == ""
    for kind in (ActKind.FINDINGS, ActKind.CLAIM):
        assert entitlement(kind, mia, TEAM, taken, Past()) == "belongs-to-another"
    assert entitlement(ActKind.RELEASE, member(ANN, manages=(TEAM,)), TEAM, taken, Past()) == ""


def test_nothing_is_released_that_nobody_has() -> None:
    assert entitlement(ActKind.RELEASE, member(ANN, TEAM), TEAM, Ownership(), Past()) == "not-claimed"


def test_whoever_was_given_a_step_outside_the_role_may_do_it_unless_it_is_about_money() -> None:
    given_to_ann = Ownership(reassigned_to="ann")
    assert entitlement(ActKind.DONE, member(ANN), TEAM, given_to_ann, Past()) == ""
    assert entitlement(ActKind.FINDINGS, member(ANN), TEAM, given_to_ann, Past()) == "not-asked"


def test_four_eyes() -> None:
    accounts, past = member(ANN, ACCOUNTS), Past(frozenset([ANN]), frozenset())
    assert entitlement(ActKind.AUTHORISE, accounts, ACCOUNTS, Ownership(), past) == "may-not-authorise"
    past = Past(frozenset(), frozenset([ANN]))
    assert entitlement(ActKind.AUTHORISE, accounts, ACCOUNTS, Ownership(), past) == "may-not-authorise"
    assert entitlement(ActKind.DECLINE, accounts, ACCOUNTS, Ownership(), past) == ""
    assert entitlement(ActKind.AUTHORISE, accounts, ACCOUNTS, Ownership(), Past(frozenset([BOB]))) == ""


def test_an_approver_neither_confirms_nor_authorises() -> None:
    both = member(ANN, ACCOUNTS, TEAM, APPROVER)
    assert entitlement(ActKind.AUTHORISE, both, ACCOUNTS, Ownership(), Past()) == "may-not-authorise"
    assert entitlement(ActKind.CONFIRM, both, TEAM, Ownership(), Past()) == "may-not-confirm"


def found(*leads: str, evidence: tuple[str, ...] = ()) -> Findings:
    return Findings(
        findings=tuple(
            Finding(lead_id=one, verdict=Verdict.VALID, reason=Reason.SPAM, text_sha256=SHA, evidence=evidence)
            for one in leads
        )
    )


@pytest.mark.parametrize(
    ("result", "code"),
    [
        (found("L-1", "L-2"), ""),
        (found("L-2", "L-1"), ""),
        (found("L-1"), "leads-do-not-fit"),
        (found("L-1", "L-1"), "leads-do-not-fit"),
        (found("L-1", "L-2", "L-3"), "leads-do-not-fit"),
        (found("L-1", "L-2", evidence=("x",)), "evidence-malformed"),
        (Reduction(leads=(Withdrawal(lead_id="L-1", text_sha256=SHA),)), ""),
        (Reduction(leads=()), "leads-do-not-fit"),
        (Reduction(leads=(Withdrawal(lead_id="L-9", text_sha256=SHA),)), "leads-do-not-fit"),
        (Reduction(leads=(Withdrawal(lead_id="L-1", text_sha256=SHA),) * 2), "leads-do-not-fit"),
        (Move(due=datetime.fromtimestamp(NOW + 60, UTC), reason_sha256=SHA), ""),
        (Move(due=datetime.fromtimestamp(NOW - 60, UTC), reason_sha256=SHA), "due-out-of-range"),
        (Move(due=datetime.fromtimestamp(NOW + 91 * 86_400, UTC), reason_sha256=SHA), "due-out-of-range"),
        (Move(due=datetime(2100, 1, 1), reason_sha256=SHA), "due-out-of-range"),  # noqa: DTZ001
        (Authorisation(), ""),
    ],
)
def test_a_result_must_fit_what_it_is_about(result: Model, code: str) -> None:
    assert unfit(result, ["L-1", "L-2"], NOW) == code


def test_a_step_changes_hands(signer: Signer, keys: Keyring) -> None:
    def after(kind: ActKind, own: Ownership) -> Ownership:
        return changed(open_act(act(signer, kind), keys), "ann", own)

    assert after(ActKind.CLAIM, Ownership(reassigned_to="bob")) == Ownership(claimed_by="ann")
    assert after(ActKind.RELEASE, Ownership(claimed_by="ann")) == Ownership()
    assert after(ActKind.REASSIGN, Ownership(claimed_by="ann")) == Ownership(reassigned_to="bob")
    assert after(ActKind.MOVE, Ownership(claimed_by="ann")) == Ownership(claimed_by="ann")


def test_each_refusal_is_a_stable_word_and_one_clear_sentence() -> None:
    for code, said in REFUSALS.items():
        assert code == code.lower()
        assert " " not in code
        assert said.endswith(".")
