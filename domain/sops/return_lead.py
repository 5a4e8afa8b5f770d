"""The Return Lead SOP as data: its steps, and the effects of each of its moments (clauses RL-1 to RL-15)."""

from collections.abc import Callable, Iterable, Sequence, Sized
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from domain.effects import (
    AdmitRequest,
    AnswerClient,
    AppendRow,
    Audience,
    AuthoriseCreditNote,
    ConfirmToAccounts,
    DraftCreditNote,
    Effect,
    ListDoNotInvoice,
    OpenLinked,
    ReadBilling,
    ReadNotes,
    Receipt,
    ReceiptState,
    SendLetter,
    TagChat,
)
from domain.ids import credit_note_number, effect_key
from domain.messages import ActKind
from domain.people import Role
from domain.return_lead import (
    Authorisation,
    Billing,
    BillingState,
    ClaimProblem,
    Confirmation,
    Decision,
    Doubt,
    FinalDecision,
    Findings,
    LeadBilling,
    LeadClaim,
    LoopIn,
    Mark,
    Reduction,
    ReplyMark,
    ReturnOutcome,
    ReturnRequest,
    StepResult,
    Triage,
    Verdict,
)
from domain.rules.clock import Target, TargetName, chosen
from domain.steps import Desk, PersonStep

BARRED = frozenset({"already-granted", "already-credited"})  # by no confirmation made good: the lead must go
# What an approver can't make good either: the lead must go, or the books be put right.
NOT_FOR_AN_APPROVER = BARRED | {"already-credited-in-the-books", "client-has-no-contact-in-the-books"}
NOT_CHARGED = (BillingState.UNBILLED, BillingState.VOIDED)
DAY = timedelta(hours=24)
NOTHING_MORE = Billing(leads=())
DESK = Desk(team=Role.RETURN_LEADS, trail="RL-15", inbox="RL-1", client="RL-9", answers=True)


@dataclass(frozen=True)
class Draft:
    """A draft credit note in the books, by what its number is made of."""

    invoice_number: str
    turn: int


@dataclass(frozen=True)
class Credited:
    """A lead whose credit note is authorised. `turn`: the confirmation that the note rests on."""

    lead: LeadBilling
    turn: int


def acknowledged(request: ReturnRequest) -> Target:
    """RL-2: the promise that the client hears at once that the team has it."""
    return chosen(request.targets, TargetName.ACKNOWLEDGE, "RL-2")


def proposed(request: ReturnRequest, step: PersonStep[Findings]) -> Target:
    """RL-4: the promise of findings, lead by lead: as long as the step is given."""
    return chosen(request.targets, TargetName.SOLUTION_PROPOSED, step.clause, step.due)


def resolved(request: ReturnRequest) -> Target:
    """RL-5, RL-6, RL-9: the promise of the answer. When it is broken, the holding note says so to the client."""
    return chosen(request.targets, TargetName.RESOLVED, "RL-9", request.holding_after)


def next_reply(request: ReturnRequest) -> Target:
    """RL-10: the promise that what the client replies to the answer is taken up, and decided where it is disputed."""
    return chosen(request.targets, TargetName.NEXT_REPLY, "RL-10")


def told_keys(request: ReturnRequest) -> tuple[str, ...]:
    """Keys of what tells the client that the team has it; none where somebody else told him, or nobody may."""
    return tuple(one.key for one in opening(request) if isinstance(one, SendLetter) and one.template in _TOLD)


_TOLD = frozenset({"loop-in", "acknowledge"})


def opening(request: ReturnRequest) -> tuple[Effect, ...]:
    """RL-1, RL-2, RL-3: the sentence in the client's thread, or a plain acknowledgement; a copy in the one inbox."""
    case_id = request.case_id
    letters: list[Effect] = []
    if request.loop_in is LoopIn.SEND:
        letters.append(_letter(case_id, "loop-in", "RL-3", Audience.CLIENT_THREAD))
    if request.loop_in is LoopIn.ACKNOWLEDGE:
        letters.append(_letter(case_id, "acknowledge", "RL-2", Audience.CLIENT_THREAD))
    if request.file_copy:
        letters.append(_letter(case_id, "file-copy", "RL-1", Audience.RETURNS_INBOX))
    return tuple(letters)


def holding_note(request: ReturnRequest) -> tuple[Effect, ...]:
    return (_letter(request.case_id, "holding-note", "RL-9", Audience.CLIENT_THREAD),)


def refusal(request: ReturnRequest) -> tuple[Effect, ...]:
    """RL-9: the detailed reason per lead, to ALL recipients of the original e-mail."""
    return (_letter(request.case_id, "refused", "RL-9", Audience.ALL_RECIPIENTS),)


def marks(request: ReturnRequest, lead_ids: Iterable[str]) -> tuple[Effect, ...]:
    """RL-7 and RL-8: each valid lead marked on Live Chat and on the sheet; Accounts told of the final action."""
    case_id, marked = request.case_id, list[Effect]()
    for lead in lead_ids:
        marked.append(TagChat(key=effect_key(case_id, "tag-chat", lead), clause="RL-7", lead_id=lead))
        marked.append(AppendRow(key=effect_key(case_id, "append-row", lead), clause="RL-7", lead_id=lead))
    return (*marked, _letter(case_id, "final-action", "RL-8", Audience.ACCOUNTS))


def confirmed(request: ReturnRequest, billing: Billing, turn: int = 1) -> tuple[Effect, ...]:
    """What a confirmation sets off (gated): the list (RL-11), the e-mail to Accounts (RL-13) and the drafts (RL-12).

    `turn`: which confirmation it is. What was listed, mailed and drafted for an earlier one, with other leads or
    amounts, says nothing about this one; the answer to the client is the same whichever it rests on.
    """
    case_id, effects = request.case_id, list[Effect]()
    if billing.in_state(*NOT_CHARGED):
        effects.append(ListDoNotInvoice(key=effect_key(case_id, "list-do-not-invoice", turn), clause="RL-11"))
    if not billing.invoices:
        after = effects[0].key if effects else ""
        return (*effects, AnswerClient(key=effect_key(case_id, "answer-client"), clause="RL-5", after=after))
    confirmation = ConfirmToAccounts(key=effect_key(case_id, "confirm-to-accounts", turn), clause="RL-13")
    draft = "draft-credit-note" if turn == 1 else f"draft-credit-note.{turn}"
    drafts = (
        DraftCreditNote(
            key=effect_key(case_id, draft, one), clause="RL-12", invoice_id=one, turn=turn, after=confirmation.key
        )
        for one in billing.invoices
    )
    return (*effects, confirmation, *drafts)


def authorised(request: ReturnRequest, billing: Billing, turn: int = 1) -> tuple[Effect, ...]:
    """What Accounts' authorisation sets off (gated): each note authorised, and then the client is told (RL-6)."""
    case_id = request.case_id
    name = "authorise-credit-note" if turn == 1 else f"authorise-credit-note.{turn}"
    notes = tuple(
        AuthoriseCreditNote(key=effect_key(case_id, name, one), clause="RL-12", invoice_id=one, turn=turn)
        for one in billing.invoices
    )
    return (*notes, AnswerClient(key=effect_key(case_id, "answer-client"), clause="RL-6", after=notes[-1].key))


def billing_effect(request: ReturnRequest, lead_ids: Sequence[str]) -> ReadBilling:
    return ReadBilling(key=effect_key(request.case_id, "read-billing"), clause="RL-5", lead_ids=tuple(lead_ids))


def billing_in(receipts: Sequence[Receipt]) -> Billing | None:
    """What the books said, if they could be read in the activity that recorded an act."""
    return next((Billing.model_validate(one.data) for one in receipts if one.kind == "read-billing" and one.done), None)


def claims_in(receipts: Sequence[Receipt]) -> tuple[LeadClaim, ...]:
    """The leads as the tables took them in."""
    admitted = next((one for one in receipts if one.kind == "admit-request"), None)
    found = admitted.data.get("claims", []) if admitted else []
    return tuple(LeadClaim.model_validate(claim) for claim in found) if isinstance(found, list) else ()


def to_investigate(claims: Sequence[LeadClaim]) -> tuple[str, ...]:
    return tuple(claim.lead_id for claim in claims if claim.problem is ClaimProblem.NONE)


def valid_in(findings: Findings) -> tuple[str, ...]:
    return tuple(one.lead_id for one in findings.findings if one.verdict is Verdict.VALID)


# The steps ------------------------------------------------------------------------------------------------------------


def triage(request: ReturnRequest) -> PersonStep[Triage]:
    """A request that can't be trusted as it came: a person looks; nothing is sent before."""

    def admit(found: Triage) -> tuple[Effect, ...]:
        if not found.accept:
            return ()
        key = effect_key(request.case_id, "admit-request")
        return (AdmitRequest(key=key, clause="RL-1", client_id=found.client_id, lead_ids=found.lead_ids),)

    return PersonStep(
        name="triage",
        clause="RL-1",
        role=Role.RETURN_LEADS,
        kinds=(ActKind.TRIAGE,),
        result=Triage,
        waiting_for=f"look at this message ({request.doubt.replace('-', ' ')})",
        due=DAY,
        then=admit,
        check=lambda found: (
            ""
            if not found.accept or (found.client_id and found.lead_ids)
            else "To accept it, name the client and the leads."
        ),
    )


def look(request: ReturnRequest) -> PersonStep[StepResult]:
    """Something arrived for a case that has ended: a person's look at it."""
    return PersonStep(
        name="look",
        clause="RL-15",
        role=Role.RETURN_LEADS,
        kinds=(ActKind.DONE,),
        result=StepResult,
        waiting_for=f"look at what arrived for an ended case ({request.doubt.replace('-', ' ')})",
    )


def investigate(
    request: ReturnRequest, lead_ids: Sequence[str], opened: Callable[[Sequence[Receipt]], None] | None = None
) -> PersonStep[Findings]:
    """RL-4: the team investigates, lead by lead. How the valid ones are billed is read as soon as they are found."""

    def each_once(found: Findings) -> str:
        named = sorted(one.lead_id for one in found.findings)
        return (
            ""
            if named == sorted(lead_ids)
            else f"Give each of the {len(lead_ids)} leads of this request exactly one finding."
        )

    def bill(found: Findings) -> tuple[Effect, ...]:
        valid = valid_in(found)
        return (billing_effect(request, valid),) if valid else ()

    return PersonStep(
        name="investigate",
        clause="RL-4",
        role=Role.RETURN_LEADS,
        kinds=(ActKind.FINDINGS,),
        result=Findings,
        waiting_for=f"findings on {_count(lead_ids, 'lead')}",
        subject="all",
        opening=opening(request),
        opened=opened,
        then=bill,
        check=each_once,
    )


def approval(billing: Billing) -> PersonStep[Decision]:
    """RL-14: Shobhit Patil, or a dated stand-in within his ceiling, decides; the client is not on that thread."""
    return PersonStep(
        name="approval",
        clause="RL-14",
        role=Role.APPROVER,
        kinds=(ActKind.APPROVE, ActKind.REJECT, ActKind.ASK_BACK),
        result=Decision,
        waiting_for=f"approve {_count(billing.leads, 'lead')} ({billing.approval.replace('-', ' ')})",
        subject="valid",
        escalate=Role.PARTNER,
    )


def answer_back() -> PersonStep[StepResult]:
    """RL-14: the approver asked something; the team answers, and he is asked anew."""
    return PersonStep(
        name="answer-back",
        clause="RL-14",
        role=Role.RETURN_LEADS,
        kinds=(ActKind.DONE,),
        result=StepResult,
        waiting_for="the approver asks something: answer him, then he is asked again",
        due=DAY,
        check=lambda found: (
            "" if found.note_sha256 else "Write the answer: the approver reads it when he is asked again."
        ),
    )


def rejected(request: ReturnRequest, billing: Billing) -> PersonStep[Reduction]:
    """RL-14: rejected by the approver. His reason stays internal; the client's text is written by the team."""
    return _reduction(request, billing, "rejected", "rejected by the approver: write the client's text of each lead")


def needs_approval(request: ReturnRequest, billing: Billing) -> PersonStep[Reduction]:
    """RL-14: what no approver can make good (credited already, no contact in the books) can only be taken out."""
    why = billing.approval or "the gate stopped it"
    return _reduction(request, billing, "needs-approval", f"can't be granted ({why.replace('-', ' ')}): take leads out")


def _reduction(request: ReturnRequest, billing: Billing, name: str, waiting_for: str) -> PersonStep[Reduction]:
    valid, whole = [lead.lead_id for lead in billing.leads], name == "rejected"

    def among_them(found: Reduction) -> str:
        named = [one.lead_id for one in found.leads]
        if whole and sorted(named) != sorted(valid):
            return "Write a text for each of the rejected leads, each once."
        fits = named and len(set(named)) == len(named) and set(named) <= set(valid)
        return "" if fits else "Withdraw one or more of the valid leads, each once."

    def bill(found: Reduction) -> tuple[Effect, ...]:
        left = left_after(valid, found)
        return (billing_effect(request, left),) if left else ()

    return PersonStep(
        name=name,
        clause="RL-14",
        role=Role.RETURN_LEADS,
        kinds=(ActKind.REDUCE,),
        result=Reduction,
        waiting_for=waiting_for,
        subject="open",
        then=bill,
        check=among_them,
    )


def covered(approved: Billing | None, billing: Billing) -> bool:
    """Whether an approval is of exactly these leads and amounts; the gate checks the signed act itself again."""

    def lines(of: Billing) -> set[tuple[str, Decimal | None, str]]:
        return {(lead.lead_id, lead.gross, lead.currency) for lead in of.leads}

    return approved is not None and lines(billing) == lines(approved)


def left_after(lead_ids: Iterable[str], found: Reduction) -> tuple[str, ...]:
    gone = {one.lead_id for one in found.leads}
    return tuple(lead for lead in lead_ids if lead not in gone)


def take_off(request: ReturnRequest, billing: Billing) -> PersonStep[StepResult]:
    """RL-11: leads on a draft invoice are taken off it by Accounts; the books are read back before any promise."""
    drafts = billing.in_state(BillingState.DRAFT)
    numbers = ", ".join(sorted({one.invoice_number for one in drafts}))
    return PersonStep(
        name="take-off",
        clause="RL-11",
        role=Role.ACCOUNTS,
        kinds=(ActKind.TAKEN_OFF,),
        result=StepResult,
        waiting_for=f"take {_count(drafts, 'lead')} off the draft of {numbers}",
        subject="valid",
        then=lambda _: (billing_effect(request, [lead.lead_id for lead in billing.leads]),),
    )


def confirm(request: ReturnRequest, billing: Billing, stopped: str = "", turn: int = 1) -> PersonStep[Confirmation]:
    """RL-12, RL-13: a named team member stands behind the settlement and the reply, as previewed."""
    what = _count(billing.leads, "valid lead") if billing.leads else "what is credited"
    return PersonStep(
        name="confirm",
        clause="RL-13",
        role=Role.RETURN_LEADS,
        kinds=(ActKind.CONFIRM,),
        result=Confirmation,
        waiting_for=f"confirm {what} and the reply" + (f" (stopped: {stopped})" if stopped else ""),
        subject="valid",
        due=DAY,
        then=lambda _: confirmed(request, billing, turn),
    )


def authorise(request: ReturnRequest, billing: Billing, turn: int = 1) -> PersonStep[Authorisation]:
    """RL-12: Accounts authorise the drafts by their own signed act; never the investigator or the confirmer."""
    return PersonStep(
        name="authorise",
        clause="RL-12",
        role=Role.ACCOUNTS,
        kinds=(ActKind.AUTHORISE, ActKind.DECLINE),
        result=Authorisation,
        waiting_for=f"authorise {_count(billing.invoices, 'credit note')}",
        subject="issued",
        then=lambda _: authorised(request, billing, turn),
    )


def drafted(request: ReturnRequest, billing: Billing, turn: int, receipts: Sequence[Receipt]) -> tuple[Draft, ...]:
    """The drafts that a confirmation put into the books."""
    sent = {one.key for one in receipts if one.state is ReceiptState.SENT}
    numbers = {lead.invoice_id: lead.invoice_number for lead in billing.leads}
    drafts = [one for one in confirmed(request, billing, turn) if isinstance(one, DraftCreditNote) and one.key in sent]
    return tuple(Draft(numbers[one.invoice_id], turn) for one in drafts)


def superseded(drafts: Sequence[Draft], credits_given: Sequence[Credited]) -> tuple[Draft, ...]:
    """The drafts of earlier confirmations that never became credit notes: the next one makes its own."""
    used = {Draft(one.lead.invoice_number, one.turn) for one in credits_given}
    return tuple(draft for draft in drafts if draft not in used)


def void(request: ReturnRequest, drafts: Sequence[Draft]) -> PersonStep[StepResult]:
    """RL-12: a draft that is no longer right is voided by Accounts; the books are read back."""
    notes = [credit_note_number(request.case_id, one.invoice_number, one.turn) for one in drafts]
    return PersonStep(
        name="void-draft",
        clause="RL-12",
        role=Role.ACCOUNTS,
        kinds=(ActKind.DONE,),
        result=StepResult,
        waiting_for=f"void the draft credit note {', '.join(notes)} in the books: it is no longer right",
        reference=" ".join(notes),
        then=lambda _: (
            ReadNotes(
                key=effect_key(request.case_id, "read-notes"),
                clause="RL-12",
                invoice_numbers=tuple(one.invoice_number for one in drafts),
                turns=tuple(one.turn for one in drafts),
            ),
        ),
    )


def voided(receipts: Sequence[Receipt]) -> bool:
    """Whether the books, read back, hold none of the drafts any more."""
    return any(one.kind == "read-notes" and one.done and one.data.get("live") == [] for one in receipts)


def declined() -> PersonStep[StepResult]:
    """Accounts declined: the team settles it with them, and Accounts are asked again."""
    return PersonStep(
        name="declined",
        clause="RL-12",
        role=Role.RETURN_LEADS,
        kinds=(ActKind.DONE,),
        result=StepResult,
        waiting_for="Accounts declined the credit note: settle it with them",
    )


def allocate(request: ReturnRequest, notes: Sequence[Credited]) -> PersonStep[StepResult]:
    """A paid invoice: allocating or refunding the note is Accounts' own step in the books, read back."""
    named = dict.fromkeys((one.lead.invoice_number, one.turn) for one in paid(notes))
    return PersonStep(
        name="allocate",
        clause="RL-12",
        role=Role.ACCOUNTS,
        kinds=(ActKind.ALLOCATED,),
        result=StepResult,
        waiting_for="allocate or refund the credit note of a paid invoice in the books",
        subject="issued",
        then=lambda _: (
            ReadNotes(
                key=effect_key(request.case_id, "read-notes"),
                clause="RL-12",
                invoice_numbers=tuple(number for number, _ in named),
                turns=tuple(turn for _, turn in named),
            ),
        ),
    )


def credited(request: ReturnRequest, billing: Billing, turn: int, receipts: Sequence[Receipt]) -> tuple[Credited, ...]:
    """The leads that are credited by now: a credit note that is authorised stays, whatever stopped the others.

    An invoice that was paid since the leads were billed is a paid one.
    """
    sent = {one.key: one for one in receipts if one.state is ReceiptState.SENT}
    notes = [one for one in authorised(request, billing, turn) if isinstance(one, AuthoriseCreditNote)]
    paid_by_then = {one.invoice_id: sent[one.key].of_paid for one in notes if one.key in sent}
    return tuple(
        Credited(lead.model_copy(update={"state": BillingState.PAID}) if paid_by_then[lead.invoice_id] else lead, turn)
        for lead in billing.leads
        if lead.invoice_id in paid_by_then
    )


def paid(notes: Sequence[Credited]) -> list[Credited]:
    """Those on paid invoices: the note of each is still to be allocated or refunded."""
    return [one for one in notes if one.lead.state is BillingState.PAID]


def allocated(receipts: Sequence[Receipt]) -> bool:
    """Whether the books, read back, show every note allocated or refunded."""
    return any(one.kind == "read-notes" and one.done and one.data.get("open") == [] for one in receipts)


def refused_in(claims: Sequence[LeadClaim], valid: Sequence[str]) -> tuple[str, ...]:
    """The leads that were looked into and are not returned: what a client can dispute."""
    return tuple(lead for lead in to_investigate(claims) if lead not in valid)


def outcome(claims: Sequence[LeadClaim], valid: Sequence[str]) -> ReturnOutcome:
    status = "settled" if valid else "refused"
    return ReturnOutcome(status=status, valid=len(valid), refused=len(claims) - len(valid))


def in_words(ended: ReturnOutcome) -> str:
    return f"{ended.valid} of {ended.valid + ended.refused} leads returned"


def undecided(refused: Sequence[str], decided: Sequence[str]) -> tuple[str, ...]:
    """One dispute per refusal: what is left to be disputed after a final decision."""
    return tuple(lead for lead in refused if lead not in decided)


def answered(window: timedelta) -> str:
    """What a case does once its answer with refusals is out, for people."""
    return f"waiting for the client's reply, {_days(window)} long (RL-10)"


def not_disputed(window: timedelta, *, heard: bool) -> str:
    """How the wait for a reply ended when nobody disputed anything."""
    return f"{'no dispute' if heard else 'no reply from the client'} within {_days(window)}"


def mark(refused: Sequence[str]) -> PersonStep[Mark]:
    """RL-10: the team says what the client's reply is. What was finally decided is not disputed again."""

    def among_them(found: Mark) -> str:
        named = found.lead_ids
        fits = named and len(set(named)) == len(named) and set(named) <= set(refused)
        return "" if found.mark is not ReplyMark.DISPUTES or fits else _not_disputable(refused)

    return PersonStep(
        name="mark",
        clause="RL-10",
        role=Role.RETURN_LEADS,
        kinds=(ActKind.MARK,),
        result=Mark,
        waiting_for="the client replied to the answer: say what the reply is",
        reference=" ".join(refused),
        due=DAY,
        check=among_them,
    )


def dispute(request: ReturnRequest, lead_ids: Sequence[str], turn: int) -> PersonStep[FinalDecision]:
    """RL-10: the account managers in copy take over the conversation and close the loop; their decision is final."""

    def each_once(found: FinalDecision) -> str:
        named = [one.lead_id for one in (*found.overturned, *found.upheld)]
        fits = sorted(named) == sorted(lead_ids) and all(one.verdict is Verdict.VALID for one in found.overturned)
        return "" if fits else f"Decide each of the {_count(lead_ids, 'disputed lead')} exactly once."

    return PersonStep(
        name="dispute",
        clause="RL-10",
        role=Role.ACCOUNT_MANAGER,
        kinds=(ActKind.DECIDED,),
        result=FinalDecision,
        waiting_for=f"the client disputes {_count(lead_ids, 'lead')}: take over and decide finally",
        subject="refused",
        reference=" ".join(lead_ids),
        hears_client=True,
        then=lambda found: decided(request, found, turn),
        check=each_once,
    )


def decided(request: ReturnRequest, found: FinalDecision, turn: int) -> tuple[Effect, ...]:
    """RL-10: the team is informed of the final decision; what was overturned is settled in a case of its own."""
    case_id = request.case_id
    told = SendLetter(
        key=effect_key(case_id, "decision", turn),
        clause="RL-10",
        template="decision",
        audience=Audience.RETURNS_INBOX,
    )
    overturned = tuple(one.lead_id for one in found.overturned)
    if not overturned:
        return (told,)
    return (OpenLinked(key=effect_key(case_id, "open-linked", turn), clause="RL-10", lead_ids=overturned), told)


def is_look(request: ReturnRequest) -> bool:
    late = request.doubt is Doubt.LATE_REPLY and not to_investigate(request.claims)
    return late or request.doubt in {Doubt.CASE_ENDED, Doubt.CLIENT_NOT_REACHED}


def marked_late(found: Mark) -> str:
    """RL-10: what came of a reply after the case was closed, in words."""
    if found.mark is ReplyMark.DISPUTES:
        return "a late dispute is finally decided"
    return f"the client replied late: {found.mark.value.replace('-', ' ')}"


def _not_disputable(refused: Sequence[str]) -> str:
    return f"A dispute names leads that were refused and are not finally decided yet: {', '.join(refused)}."


def _days(window: timedelta) -> str:
    return f"{window / DAY:g} days"


def _letter(case_id: str, template: str, clause: str, audience: Audience) -> SendLetter:
    return SendLetter(key=effect_key(case_id, template), clause=clause, template=template, audience=audience)


def _count(things: Sized, what: str) -> str:
    return f"{len(things)} {what}" + ("" if len(things) == 1 else "s")
