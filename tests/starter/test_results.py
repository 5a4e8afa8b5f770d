from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import Refused
from domain.messages import ActKind
from domain.return_lead import (
    Authorisation,
    Claimed,
    Confirmation,
    Move,
    Reassignment,
    StepResult,
    Triage,
)
from domain.rules.acts import PAYLOADS, parse_payload, written
from domain.texts import digest
from starter.results import read_result

GOOD: dict[ActKind, dict[str, Any]] = {
    ActKind.CLAIM: {},
    ActKind.RELEASE: {},
    ActKind.REASSIGN: {"to": "bob"},
    ActKind.MOVE: {"due": "2026-03-12T09:00:00+00:00", "reason": "The client is away."},
    ActKind.DONE: {"note": "Rang them."},
    ActKind.WAIVE: {"note": "The chat was deleted by the client."},
    ActKind.RESEND: {},
    ActKind.TRIAGE: {"accept": True, "client_id": "acme", "lead_ids": ["l-1001"]},
    ActKind.FINDINGS: {"findings": [{"lead_id": "L-1001", "verdict": "Valid", "reason": "Wrong Service", "text": "x"}]},
    ActKind.CONFIRM: {"preview_sha256": "a" * 64},
    ActKind.REDUCE: {"leads": [{"lead_id": "L-1001", "text": "This one is above what we may grant."}]},
    ActKind.TAKEN_OFF: {},
    ActKind.AUTHORISE: {},
    ActKind.DECLINE: {"reason": "The invoice is disputed."},
    ActKind.ALLOCATED: {"note": ""},
    ActKind.APPROVE: {},
    ActKind.REJECT: {"reason": "Their fourth complaint about the same campaign."},
    ActKind.ASK_BACK: {"reason": "Was the number ever rung?"},
    ActKind.WITHDRAW: {},
    ActKind.MARK: {"mark": "new leads", "lead_ids": ["l-1002"], "note": "In the second paragraph."},
    ActKind.DECIDED: {
        "overturned": [{"lead_id": "L-1001", "verdict": "valid", "reason": "spam", "text": "x"}],
        "upheld": [{"lead_id": "L-1002", "text": "The caller asked for a quote and was given one."}],
    },
    ActKind.SET_POLICY: {"name": "approval-limit", "value": {"amount": "400.00", "currency": "GBP"}},
    ActKind.SET_PRICES: {"prices": [{"lead_id": "L-1001", "price": "50.00", "currency": "GBP"}]},
    ActKind.IMPORT_RATES: {"rates": [{"currency": "EUR", "on": "2026-03-09", "gbp": "0.8612"}]},
    ActKind.SET_STAND_IN: {
        "approver": {"issuer": "i", "sub": "shobhit"},
        "stand_in": {"issuer": "i", "sub": "otto"},
        "starts": "2026-03-09",
        "ends": "2026-03-20",
        "ceiling_gbp": "2000.00",
    },
}


def code_of(kind: ActKind, payload: dict[str, Any]) -> str:
    try:
        read_result(kind, payload)
    except Refused as refused:
        return refused.code
    return ""


@pytest.mark.parametrize("kind", list(GOOD))
def test_each_kind_takes_its_payload_and_nothing_beside_it(kind: ActKind) -> None:
    result = read_result(kind, GOOD[kind]).result
    assert isinstance(result, PAYLOADS[kind])
    assert parse_payload(kind, written(result)) == result
    assert code_of(kind, {**GOOD[kind], "approved": True}) == "invalid-result"


def test_results_name_texts_by_their_hash() -> None:
    given_move = read_result(ActKind.MOVE, GOOD[ActKind.MOVE])
    due = datetime(2026, 3, 12, 9, 0, tzinfo=UTC)
    assert given_move.result == Move(due=due, reason_sha256=digest("The client is away."))
    assert given_move.texts == ("The client is away.",)
    assert read_result(ActKind.DONE, {"note": "  Done. "}).result == StepResult(note_sha256=digest("Done."))
    assert read_result(ActKind.DONE, {}).result == StepResult()
    assert read_result(ActKind.AUTHORISE, {}).result == Authorisation()
    assert read_result(ActKind.CLAIM, {}).result == Claimed()
    assert read_result(ActKind.REASSIGN, {"to": "bob"}).result == Reassignment(to="bob")
    assert read_result(ActKind.CONFIRM, GOOD[ActKind.CONFIRM]).result == Confirmation(preview_sha256="a" * 64)
    accepted = read_result(ActKind.TRIAGE, GOOD[ActKind.TRIAGE]).result
    assert accepted == Triage(accept=True, client_id="acme", lead_ids=("L-1001",))


@pytest.mark.parametrize(
    ("kind", "payload", "code"),
    [
        (ActKind.WAIVE, {}, "reason-missing"),
        (ActKind.DECLINE, {"reason": "  "}, "reason-missing"),
        (ActKind.REJECT, {"reason": "  "}, "reason-missing"),
        (ActKind.ASK_BACK, {}, "reason-missing"),
        (ActKind.MARK, {"mark": "agrees"}, "invalid-result"),
        (ActKind.IMPORT_RATES, {"rates": [{"currency": "EUR", "on": "2026-03-09", "gbp": "-1"}]}, "invalid-result"),
        (ActKind.IMPORT_RATES, {"rates": [{"currency": "CHF", "on": "2026-03-09", "gbp": "1"}]}, "invalid-result"),
        (ActKind.IMPORT_RATES, {"rates": []}, "invalid-result"),
        (ActKind.SET_POLICY, {"name": "vat-basis", "value": {"vat": "perhaps"}}, "invalid-result"),
        (ActKind.SET_PRICES, {"prices": []}, "invalid-result"),
        (ActKind.SET_PRICES, {"prices": [{"lead_id": "L-1001", "price": "-1.00"}]}, "invalid-result"),
        (ActKind.SET_PRICES, {"prices": [{"lead_id": "L-1001", "price": "1.001"}]}, "invalid-result"),
        (ActKind.SET_PRICES, {"prices": [{"lead_id": "no lead", "price": "1.00"}]}, "invalid-result"),
        (ActKind.SET_POLICY, {"name": "approval-limit", "value": {"amount": "-1"}}, "invalid-result"),
        (ActKind.DECIDED, {"upheld": [{"lead_id": "L-1002", "text": "no"}]}, "reason-too-thin"),
        (ActKind.MOVE, {"due": "2026-03-12T09:00:00+00:00", "reason": " "}, "reason-missing"),
        (ActKind.MOVE, {"due": "2026-03-12T09:00:00", "reason": "x"}, "invalid-result"),
        (ActKind.MOVE, {"due": "tomorrow", "reason": "x"}, "invalid-result"),
        (ActKind.REASSIGN, {"to": ""}, "invalid-result"),
        (ActKind.REASSIGN, {}, "invalid-result"),
        (ActKind.CONFIRM, {"preview_sha256": "x"}, "invalid-result"),
        (ActKind.TRIAGE, {"accept": "maybe"}, "invalid-result"),
        (ActKind.TRIAGE, {"accept": True, "lead_ids": ["1001"]}, "invalid-result"),
        (ActKind.REDUCE, {"leads": []}, "invalid-result"),
        (ActKind.REDUCE, {"leads": [{"lead_id": "L-1001", "text": "no"}]}, "reason-too-thin"),
        (ActKind.DONE, {"note": "x" * 20_001}, "text-too-long"),
        (ActKind.DONE, {"note": 5}, "invalid-result"),
    ],
)
def test_what_does_not_fit_is_refused(kind: ActKind, payload: dict[str, Any], code: str) -> None:
    assert code_of(kind, payload) == code


@pytest.mark.parametrize(
    "text",
    ["", "no", "not valid", "Not valid.", "This lead is not valid.", "the lead isn't a valid lead, sorry", "." * 40],
)
def test_just_not_valid_is_no_reason_for_a_client(text: str) -> None:
    refusing = {"findings": [{"lead_id": "L-1001", "verdict": "not-valid", "reason": "other", "text": text}]}
    assert code_of(ActKind.FINDINGS, refusing) == "reason-too-thin"
    granting = {"findings": [{"lead_id": "L-1001", "verdict": "valid", "reason": "other", "text": text}]}
    assert code_of(ActKind.FINDINGS, granting) == ""


def test_a_detailed_reason_is_one() -> None:
    text = "The caller asked for a quote and was given one."
    refusing = {"findings": [{"lead_id": "L-1001", "verdict": "not valid", "reason": "other", "text": text}]}
    assert read_result(ActKind.FINDINGS, refusing).texts == (text,)


def test_complaints_do_not_repeat_what_was_given() -> None:
    bad = {"findings": [{"lead_id": "jane@example.com", "verdict": "jane", "reason": "jane", "text": "x", "jane": 1}]}
    with pytest.raises(Refused) as caught:
        read_result(ActKind.FINDINGS, bad)
    assert "jane" not in str(caught.value).replace("findings.0.jane", "")


@given(
    kind=st.sampled_from(list(GOOD)),
    payload=st.dictionaries(
        st.sampled_from(["findings", "leads", "note", "reason", "to", "due", "accept", "preview_sha256", "x"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
            max_leaves=8,
        ),
        max_size=4,
    ),
)
def test_whatever_is_handed_in_is_refused_or_has_one_form(kind: ActKind, payload: dict[str, Any]) -> None:
    if not code_of(kind, payload):
        result = read_result(kind, payload).result
        assert parse_payload(kind, written(result)) == result
