"""The SOP as data: whom each step asks, what it objects to, and what follows from an act."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.effects import (
    AnswerClient,
    AuthoriseCreditNote,
    ConfirmToAccounts,
    Effect,
    ListDoNotInvoice,
    Receipt,
    ReceiptState,
    SendLetter,
)
from domain.messages import ActKind
from domain.people import Role
from domain.return_lead import (
    Billing,
    BillingState,
    ClaimProblem,
    Doubt,
    Finding,
    Findings,
    LeadBilling,
    LeadClaim,
    LoopIn,
    Mark,
    Reason,
    Reduction,
    ReplyMark,
    ReturnRequest,
    StepResult,
    Triage,
    Verdict,
    Withdrawal,
)
from domain.rules.acts import PAYLOADS, SUBJECTS
from domain.sops import return_lead as sop
from domain.steps import PersonStep

SHA = "a" * 64
CASE = "return-lead/0123456789abcdef"
LEADS = ("L-1", "L-2", "L-3")


def request(**changes: Any) -> ReturnRequest:
    return ReturnRequest(case_id=CASE, client_id="C-1", **changes)


def billing(*states: BillingState, approval: str = "") -> Billing:
    leads = tuple(
        LeadBilling(
            lead_id=f"L-{n}",
            state=state,
            invoice_id="" if state in sop.NOT_CHARGED else f"I-{n}",
            invoice_number="" if state in sop.NOT_CHARGED else f"INV-{n}",
            gross=Decimal(48),
        )
        for n, state in enumerate(states, 1)
    )
    return Billing(leads=leads, approval=approval)


ALL_STATES = billing(BillingState.UNBILLED, BillingState.DRAFT, BillingState.ISSUED, BillingState.PAID)
STEPS: list[PersonStep[Any]] = [
    sop.triage(request(doubt=Doubt.SENDER_UNKNOWN)),
    sop.look(request(doubt=Doubt.CASE_ENDED)),
    sop.investigate(request(), LEADS),
    sop.needs_approval(request(), ALL_STATES),
    sop.take_off(request(), ALL_STATES),
    sop.confirm(request(), ALL_STATES),
    sop.authorise(request(), ALL_STATES),
    sop.declined(),
    sop.allocate(request(), [sop.Credited(one, 2) for one in ALL_STATES.leads]),
]


def finding(lead_id: str, verdict: Verdict = Verdict.VALID) -> Finding:
    return Finding(lead_id=lead_id, verdict=verdict, reason=Reason.SPAM, text_sha256=SHA)


def reduction(*lead_ids: str) -> Reduction:
    return Reduction(leads=tuple(Withdrawal(lead_id=one, text_sha256=SHA) for one in lead_ids))


def kinds(effects: tuple[Effect, ...] | list[Effect]) -> list[str]:
    return [one.kind for one in effects]


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
def test_every_step_asks_somebody_about_something_by_some_time(step: PersonStep[Any]) -> None:
    assert step.role in set(Role)
    assert step.waiting_for
    assert step.kinds
    assert step.clause.startswith("RL-")
    assert step.due.total_seconds() > 0


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
def test_what_a_step_reads_is_what_its_kinds_are_signed_over(step: PersonStep[Any]) -> None:
    for kind in step.kinds:
        assert PAYLOADS[kind] is step.result
        assert SUBJECTS.get(kind, "step") in {step.subject, "step"}


@pytest.mark.clause("RL-4")
@pytest.mark.parametrize(
    ("named", "fits"),
    [
        (("L-3", "L-1", "L-2"), True),
        (("L-1", "L-2"), False),
        (("L-1", "L-2", "L-3", "L-3"), False),
        (("L-1", "L-2", "L-4"), False),
        ((), False),
    ],
)
def test_findings_name_each_lead_once(named: tuple[str, ...], *, fits: bool) -> None:
    step = sop.investigate(request(), LEADS)
    assert (step.check(Findings(findings=tuple(map(finding, named)))) == "") is fits


@pytest.mark.clause("RL-5")
def test_how_the_valid_leads_are_billed_is_read_as_soon_as_they_are_found() -> None:
    step = sop.investigate(request(), LEADS)
    found = Findings(findings=(finding("L-1"), finding("L-2", Verdict.NOT_VALID), finding("L-3")))
    (reading,) = step.then(found)
    assert (reading.kind, getattr(reading, "lead_ids", ())) == ("read-billing", ("L-1", "L-3"))
    assert step.then(Findings(findings=(finding("L-1", Verdict.NOT_VALID),))) == ()


@pytest.mark.clause("RL-14")
@pytest.mark.parametrize(
    ("named", "fits"),
    [(("L-2",), True), (("L-1", "L-2", "L-3", "L-4"), True), ((), False), (("L-1", "L-1"), False), (("L-9",), False)],
)
def test_a_reduction_withdraws_some_of_the_valid_leads(named: tuple[str, ...], *, fits: bool) -> None:
    step = sop.needs_approval(request(), ALL_STATES)
    assert (step.check(reduction(*named)) == "") is fits


@given(st.lists(st.sampled_from(["L-1", "L-2", "L-3", "L-4"]), unique=True, min_size=1))
def test_what_is_left_is_read_again_in_its_order(withdrawn: list[str]) -> None:
    left = [one for one in ("L-1", "L-2", "L-3", "L-4") if one not in withdrawn]
    effects = sop.needs_approval(request(), ALL_STATES).then(reduction(*withdrawn))
    assert [getattr(one, "lead_ids", ()) for one in effects] == ([tuple(left)] if left else [])


@pytest.mark.clause("RL-14")
def test_why_an_approver_is_needed_is_said() -> None:
    step = sop.needs_approval(request(), billing(BillingState.ISSUED, approval="above-the-limit"))
    assert "above the limit" in step.waiting_for


@pytest.mark.clause("RL-2", "RL-3")
@pytest.mark.parametrize(
    ("loop_in", "templates"),
    [
        (LoopIn.SEND, ["loop-in", "file-copy"]),
        (LoopIn.ACKNOWLEDGE, ["acknowledge", "file-copy"]),
        (LoopIn.ALREADY_SAID, ["file-copy"]),
        (LoopIn.NONE, ["file-copy"]),
    ],
)
def test_the_client_is_told_once_that_it_was_looped_in(loop_in: LoopIn, templates: list[str]) -> None:
    letters = sop.opening(request(loop_in=loop_in, file_copy=True))
    assert [one.template for one in letters if isinstance(one, SendLetter)] == templates
    assert kinds(letters) == ["send-letter"] * len(templates)


@pytest.mark.parametrize(
    ("found", "fits"),
    [
        (Triage(accept=False), True),
        (Triage(accept=True, client_id="C-1", lead_ids=("L-1",)), True),
        (Triage(accept=True, client_id="C-1"), False),
        (Triage(accept=True, lead_ids=("L-1",)), False),
    ],
)
def test_a_request_is_taken_in_for_a_client_and_leads(found: Triage, *, fits: bool) -> None:
    step = sop.triage(request(doubt=Doubt.NO_LEADS))
    assert (step.check(found) == "") is fits
    assert kinds(list(step.then(found))) == (["admit-request"] if found.accept else [])


@pytest.mark.clause("RL-5", "RL-11")
def test_unbilled_leads_are_listed_before_the_client_is_promised_anything() -> None:
    listed, answer = sop.confirmed(request(), billing(BillingState.UNBILLED, BillingState.VOIDED))
    assert isinstance(listed, ListDoNotInvoice)
    assert isinstance(answer, AnswerClient)
    assert answer.after == listed.key


@pytest.mark.clause("RL-12", "RL-13")
def test_accounts_are_confirmed_to_before_any_note_is_drafted_one_an_invoice() -> None:
    effects = sop.confirmed(request(), billing(BillingState.ISSUED, BillingState.PAID))
    confirmation, *drafts = effects
    assert isinstance(confirmation, ConfirmToAccounts)
    assert [(one.kind, one.after, getattr(one, "invoice_id", "")) for one in drafts] == [
        ("draft-credit-note", confirmation.key, "I-1"),
        ("draft-credit-note", confirmation.key, "I-2"),
    ]


@pytest.mark.clause("RL-6", "RL-12")
def test_the_client_is_told_of_credits_after_they_are_authorised() -> None:
    *notes, answer = sop.authorised(request(), billing(BillingState.ISSUED, BillingState.PAID))
    assert all(isinstance(one, AuthoriseCreditNote) for one in notes)
    assert isinstance(answer, AnswerClient)
    assert (answer.after, answer.clause) == (notes[-1].key, "RL-6")


def test_a_mixture_is_listed_confirmed_and_drafted_and_answered_only_once() -> None:
    mixture = billing(BillingState.UNBILLED, BillingState.ISSUED)
    assert kinds(sop.confirmed(request(), mixture)) == [
        "list-do-not-invoice",
        "confirm-to-accounts",
        "draft-credit-note",
    ]
    assert kinds(sop.authorised(request(), mixture)) == ["authorise-credit-note", "answer-client"]


@pytest.mark.clause("RL-13")
def test_a_confirmation_made_anew_is_mailed_listed_and_drafted_anew() -> None:
    mixture = billing(BillingState.UNBILLED, BillingState.ISSUED)
    first, second = ({one.key for one in sop.confirmed(request(), mixture, turn)} for turn in (1, 2))
    assert not first & second
    assert len(first) == len(second) == 3
    assert {one.key for one in sop.confirm(request(), mixture, "lines-changed", 2).then(_any())} == second


def test_whichever_confirmation_it_rests_on_the_client_is_answered_once() -> None:
    unbilled = billing(BillingState.UNBILLED)
    answers = {sop.confirmed(request(), unbilled, turn)[-1].key for turn in (1, 2)}
    assert answers == {sop.authorised(request(), billing(BillingState.ISSUED))[-1].key}


@pytest.mark.parametrize(
    "effects",
    [
        lambda: sop.confirmed(request(), ALL_STATES),
        lambda: sop.authorised(request(), ALL_STATES),
        lambda: sop.marks(request(), LEADS),
        lambda: sop.opening(request(loop_in=LoopIn.SEND, file_copy=True)),
    ],
)
def test_every_effect_has_a_key_of_its_own_in_its_case(effects: Callable[[], tuple[Effect, ...]]) -> None:
    keys = [one.key for one in effects()]
    assert len(set(keys)) == len(keys)
    assert all(key.startswith(f"{CASE}/") for key in keys)


@pytest.mark.clause("RL-7", "RL-8")
def test_each_valid_lead_is_marked_in_both_places_and_accounts_are_told_last() -> None:
    effects = sop.marks(request(), LEADS)
    assert kinds(effects) == ["tag-chat", "append-row"] * 3 + ["send-letter"]


@pytest.mark.clause("RL-12")
def test_accounts_may_decline_and_then_the_team_settles_it() -> None:
    assert sop.authorise(request(), ALL_STATES).kinds == (ActKind.AUTHORISE, ActKind.DECLINE)
    assert (sop.authorise(request(), ALL_STATES).role, sop.declined().role) == (Role.ACCOUNTS, Role.RETURN_LEADS)


@pytest.mark.clause("RL-11")
def test_taking_off_names_the_draft_invoices_and_reads_all_leads_again() -> None:
    step = sop.take_off(request(), ALL_STATES)
    assert "INV-2" in step.waiting_for
    (reading,) = step.then(StepResult())
    assert getattr(reading, "lead_ids", ()) == ("L-1", "L-2", "L-3", "L-4")


@pytest.mark.parametrize(
    ("state", "open_notes", "shown"),
    [
        (ReceiptState.SENT, [], True),
        (ReceiptState.SENT, ["RL-1"], False),
        (ReceiptState.FAILED, [], False),
    ],
)
def test_a_paid_invoice_is_settled_once_the_books_show_it(
    state: ReceiptState, open_notes: list[str], *, shown: bool
) -> None:
    receipt = Receipt(key="k", kind="read-notes", clause="RL-12", state=state, data={"open": list(open_notes)})
    assert sop.allocated([receipt]) is shown
    assert not sop.allocated([])


def test_only_leads_without_a_problem_are_investigated() -> None:
    claims = [LeadClaim(lead_id=problem.name, problem=problem) for problem in ClaimProblem]
    assert sop.to_investigate(claims) == ("NONE",)


def test_what_was_admitted_is_read_from_the_receipt() -> None:
    claims: list[Any] = [{"lead_id": "L-1", "problem": "unknown-lead"}]
    receipt = Receipt(key="k", kind="admit-request", clause="RL-1", state=ReceiptState.SENT, data={"claims": claims})
    assert sop.claims_in([receipt]) == (LeadClaim(lead_id="L-1", problem=ClaimProblem.UNKNOWN),)
    assert sop.claims_in([]) == ()


def test_a_billing_that_could_not_be_read_is_none() -> None:
    read = Receipt(key="k", kind="read-billing", clause="RL-5", state=ReceiptState.SENT, data={"leads": []})
    assert sop.billing_in([read]) == Billing(leads=())
    assert sop.billing_in([read.model_copy(update={"state": ReceiptState.FAILED})]) is None


def _any() -> Any:
    return None


@pytest.mark.clause("RL-10")
def test_a_late_reply_is_marked_as_long_as_there_is_something_to_dispute_and_else_looked_at() -> None:
    there, elsewhere = LeadClaim(lead_id="L-1"), LeadClaim(lead_id="L-1", problem=ClaimProblem.ELSEWHERE)
    assert not sop.is_look(request(doubt=Doubt.LATE_REPLY, claims=(there, elsewhere)))
    assert sop.is_look(request(doubt=Doubt.LATE_REPLY, claims=(elsewhere,)))
    assert sop.is_look(request(doubt=Doubt.CASE_ENDED, claims=(there,)))
    assert sop.marked_late(Mark(mark=ReplyMark.NEW_LEADS)) == "the client replied late: new leads"
