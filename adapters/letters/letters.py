"""Letters out of the SOP's texts and the tables: who receives them, where in the thread, and what they say."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

from adapters.letters.render import fill_in, subject_line
from adapters.postgres.asking import Deciders
from adapters.postgres.correspondence import CaseFacts, KeptLetter, Mailbox, Said, letters_sent, read_case, read_step
from adapters.postgres.crypto import Vault
from adapters.postgres.directory import Addressed, Addressee, PostgresDirectory
from adapters.postgres.money_changes import approvers_lately
from adapters.postgres.mornings import calendars_of
from adapters.postgres.names import by_name, names_of
from adapters.postgres.pool import Pool, transaction
from domain import ids
from domain.brief import Brief
from domain.case import OpenStep
from domain.effects import (
    AnswerClient,
    Audience,
    ConfirmToAccounts,
    Effect,
    Nudge,
    OpenRequest,
    SendLetter,
    Tell,
    Worded,
)
from domain.errors import Permanent, Refused
from domain.mail import OutgoingMail, Words
from domain.messages import ActKind
from domain.return_lead import Doubt, Findings, LeadBilling, Verdict
from domain.rules.answer import Answer, CaseLead, RefusedLead, answer, valid_leads
from domain.rules.hours import LONDON, in_zone
from domain.rules.stored_acts import Trust
from domain.sops import return_lead_texts as sop
from domain.sops.shared_texts import NO_WORDS, NUDGE, Template
from domain.sops.texts import texts_of
from domain.texts import digest
from domain.thread import CaseThread
from runtime.keys import Keyring, ring_path
from runtime.settings import Settings

_LONDON = ZoneInfo("Europe/London")
_TEAM = "CommVersion Return Leads"
_SUPPORT = "CommVersion Client Success"
Values = dict[str, object]


class Reader(NamedTuple):
    """What people and teams are called by their ids, and in whose zone a mail is read."""

    names: Mapping[str, str]
    zone: str


@dataclass(frozen=True)
class Preview:
    """The answer as the client will read it, and the SHA-256 of it that a confirmation signs."""

    text: str
    sha256: str


@dataclass(frozen=True)
class SentLetter:
    """A letter that went out. `mail` is None where what the tables hold by now would make another one."""

    effect: Effect
    sent_at: datetime
    mail: OutgoingMail | None = None

    @property
    def name(self) -> str:
        return getattr(self.effect, "template", "") or self.effect.kind


class PostgresLetters:
    """The port `Letters`. Reads everything afresh; the same effect makes the same Message-ID."""

    def __init__(
        self, pool: Pool, vault: Vault, settings: Settings, directory: PostgresDirectory | None = None
    ) -> None:
        self._pool, self._vault, self._settings = pool, vault, settings
        local_counts = settings.mode == "local" and settings.vendors_are_loopback
        self.trust = Trust(Keyring(ring_path(settings.keys_dir)), settings.deployment, local_counts)
        last_resort, deciders = Addressee(_TEAM, settings.returns_inbox), Deciders(vault, self.trust)
        self._directory = directory or PostgresDirectory(pool, last_resort, deciders)

    async def compose(self, case_id: str, effect: Effect, billed: Sequence[LeadBilling] | None = None) -> OutgoingMail:
        """The mail of one effect. Raises Permanent when nobody may receive it, a text of it is missing, or it would be
        about other leads than those in `billed`.
        """
        try:
            facts = await read_case(self._pool, self._vault, self.trust, case_id)
            writer = _Writer(facts if billed is None else by_the_books(facts, billed), self._settings)
            if isinstance(effect, SendLetter) and effect.audience is Audience.APPROVER:
                return writer.to_approvers(effect, await approvers_lately(self._pool), await self._names())
            if not isinstance(effect, Nudge):
                return writer.letter(effect)
            step = await read_step(self._pool, case_id, effect.step_id)
        except Refused as error:
            raise Permanent("letters", error.code, str(error)) from error
        holder = "" if effect.role else step.claimed_by or step.reassigned_to
        asked = await self._directory.addressed(effect.role or step.role, case_id, holder)
        return writer.nudge(effect, step, asked, await self._read_by(asked))

    async def _names(self) -> Mapping[str, str]:
        async with transaction(self._pool, reading=True) as conn:
            return await names_of(conn)

    async def _read_by(self, asked: Addressed) -> Reader:
        """Names for the ids in it, and the zone of whoever reads it: London's where several read in several."""
        async with transaction(self._pool, reading=True) as conn:
            zones = {one.zone for one in await calendars_of(conn, asked.to)}
            return Reader(await names_of(conn), zones.pop() if len(zones) == 1 else LONDON)

    async def words(self, case_id: str, effect: Worded, brief: Brief | None = None) -> Words:
        try:
            writer = _Writer(await read_case(self._pool, self._vault, self.trust, case_id), self._settings)
            return writer.words(effect, brief, await self._names())
        except Refused as error:
            raise Permanent("letters", error.code, str(error)) from error

    async def preview(self, case_id: str) -> Preview:
        """The answer as it will read if everything goes well. Raises Refused if there is no such case."""
        facts = to_be_confirmed(await read_case(self._pool, self._vault, self.trust, case_id))
        text = fill_in(sop.ANSWER.text, _Writer(facts, self._settings).values(foreseen=True))
        return Preview(text=text, sha256=digest(text))

    async def drafted(self, case_id: str, findings: Findings, texts: Mapping[str, str]) -> str:
        """The reply with findings not handed in yet, their texts by SHA-256. Leads without one are left out.

        The books are read only once they are handed in: a valid lead reads as one that is not invoiced.
        """
        facts = await read_case(self._pool, self._vault, self.trust, case_id)
        found = {one.lead_id: one.verdict for one in findings.findings}
        leads = tuple(lead for lead in facts.leads if lead.problem or lead.lead_id in found)
        facts = replace(facts, leads=leads, findings=findings, reductions=(), texts={**facts.texts, **texts})
        template = sop.ANSWER if Verdict.VALID in found.values() else sop.REFUSED
        return fill_in(template.text, _Writer(facts, self._settings).values(foreseen=True))

    async def sent(self, case_id: str) -> tuple[SentLetter, ...]:
        """Every letter of a case to the client and to our teams, made anew and held to the SHA-256 of what was sent."""
        return tuple([await self._sent(case_id, one) for one in await letters_sent(self._pool, case_id)])

    async def _sent(self, case_id: str, kept: KeptLetter) -> SentLetter:
        letter = SentLetter(kept.effect, kept.sent_at)
        try:
            mail = await self.compose(case_id, kept.effect)
        except Permanent:
            return letter
        return replace(letter, mail=mail) if digest(mail.model_dump_json()) == kept.body_sha256 else letter

    async def instructions(self, case_id: str, step_id: str) -> str:
        """What whoever does a step has to do, in full. Raises Refused if there is no such case or step."""
        facts = await read_case(self._pool, self._vault, self.trust, case_id)
        step = await read_step(self._pool, case_id, step_id)
        if step.name == "confirm":
            facts = to_be_confirmed(facts)
        return _Writer(facts, self._settings).instructions(step)


_TALKS: Mapping[ActKind, str] = {
    ActKind.ASK_BACK: "asked",
    ActKind.DONE: "answered",
    ActKind.REJECT: "rejected",
    ActKind.WITHDRAW: "withdrew the approval",
}
"""What passes between the approver and the team before he decides (RL-14), in words that follow a name."""


def _spoken(said: Said) -> str:
    words = f": {' '.join(said.text.split())}" if said.text else ""
    return f"{said.by} {_TALKS[said.kind]}{words}"


def _words(facts: CaseFacts, kind: ActKind) -> str:
    """Who decided so last and why, on one line: internal. "" if nobody did, or without a word."""
    found = facts.last(kind)
    return f"{found.by}: {' '.join(found.text.split())}" if found and found.text else ""


def to_be_confirmed(facts: CaseFacts) -> CaseFacts:
    """As the case will be once it is confirmed: its credit notes have the numbers of that confirmation."""
    return replace(facts, turn=facts.confirmations + 1)


def by_the_books(facts: CaseFacts, billed: Sequence[LeadBilling]) -> CaseFacts:
    """With these leads as the books bill them, and no others: our own table of that is the SOP worker's to write.

    Raises Permanent `lines-changed`.
    """
    now = {lead.lead_id: lead for lead in billed}
    valid = {lead.lead_id for lead in valid_leads(facts.leads, facts.findings, facts.reductions)}
    if not valid - set(facts.credited) <= set(now) <= valid:
        raise Permanent("letters", "lines-changed", "the letter would be about other leads than were let through")
    leads = (lead.model_copy(update={"billing": now.get(lead.lead_id)}) for lead in facts.leads)
    return replace(facts, leads=tuple(leads))


def answer_of(facts: CaseFacts, *, foreseen: bool = False) -> Answer:
    """What the client is told of each lead. Raises Permanent if a reason that he is to read is missing."""
    valid = valid_leads(facts.leads, facts.findings, facts.reductions)
    refused = _refused(facts, {lead.lead_id for lead in valid})
    return answer(facts.case_id, valid, refused, facts.done, foreseen=foreseen)


def _decided(facts: CaseFacts) -> list[dict[str, str]]:
    """RL-10: each disputed lead with its final decision and the account manager's words about it."""
    found = {
        one.lead_id: (word, facts.texts.get(one.text_sha256, ""))
        for decision in facts.decisions
        for word, leads in (("overturned", decision.overturned), ("upheld", decision.upheld))
        for one in leads
    }
    return [{"lead_id": lead, "decision": word, "text": text} for lead, (word, text) in found.items()]


def _refused(facts: CaseFacts, valid: set[str]) -> list[RefusedLead]:
    shas = {one.lead_id: one.text_sha256 for one in facts.findings.findings}
    shas |= {one.lead_id: one.text_sha256 for reduction in facts.reductions for one in reduction.leads}
    judged = bool(facts.findings.findings)
    return [
        RefusedLead(lead_id=lead.lead_id, text=_reason(facts, lead, shas), problem=lead.problem)
        for lead in facts.leads
        if lead.problem or (judged and lead.lead_id not in valid)
    ]


def _reason(facts: CaseFacts, lead: CaseLead, shas: dict[str, str]) -> str:
    if lead.problem:
        return sop.PROBLEM_TEXTS[lead.problem]
    try:
        return facts.texts[shas[lead.lead_id]]
    except KeyError:
        raise Permanent(
            "letters", "reason-missing", f"the client can't be told why {lead.lead_id} is refused: no text"
        ) from None


class _Writer:
    """One case's letters."""

    def __init__(self, facts: CaseFacts, settings: Settings) -> None:
        self.facts, self.settings = facts, settings
        self.texts = texts_of(facts.kind)
        self.token = ids.case_token(facts.case_id, self.texts.prefix)

    def letter(self, effect: Effect) -> OutgoingMail:
        match effect:
            case SendLetter(template=template, audience=audience):
                return self._make(effect.key, self._plain(template), audience, loop_in=template == "loop-in")
            case AnswerClient():
                return self._make(effect.key, sop.ANSWER, Audience.ALL_RECIPIENTS)
            case Tell():
                return self._outgoing(effect.key, NO_WORDS, {}, ())  # its words are made with the brief
            case ConfirmToAccounts():
                values = self.values(foreseen=True)
                template = self.texts.templates["confirm-to-accounts"]
                return self._internal(effect.key, template, values, self._team(Audience.ACCOUNTS))
            case _:
                raise Permanent("letters", "not-a-letter", f"{effect.kind} is not a letter")

    def to_approvers(self, effect: SendLetter, addresses: Sequence[str], names: Mapping[str, str]) -> OutgoingMail:
        """To whoever approves now and to whoever did lately."""
        mailboxes = [Mailbox(one, "") for one in addresses]
        roles = {role: name for role, name in names.items() if ":" in role}
        changes = [by_name(line, roles) for line in self.facts.request.get("changes", [])]
        values = self.values() | {"found": {**self.facts.request, "changes": changes}}
        return self._internal(effect.key, self._plain(effect.template), values, mailboxes)

    def _plain(self, name: str) -> Template:
        """A template that may be sent as a plain letter, whoever asks: nothing that promises or confirms money."""
        template = self.texts.templates.get(name)
        if template is None:
            raise Permanent("letters", "unknown-template", "there is no such letter")
        if template.gated:
            raise Permanent("letters", "gated", "this letter is about money: only the money worker sends it")
        answered = any(one.kind == "answer-client" and one.state == "sent" for one in self.facts.effects)
        if template.after_answer and not answered:
            raise Permanent("letters", "not-answered", "what was granted is told after the client has been answered")
        return template

    def words(self, effect: Worded, brief: Brief | None, names: Mapping[str, str]) -> Words:
        """What is said on the task, on the ticket or in a message; the brief has whom it concerns by now."""
        name = effect.words if isinstance(effect, OpenRequest) else effect.template
        step_id = getattr(effect, "step_id", "")
        slug = str(self.facts.request.get("department", ""))
        values = self.values() | {"brief": brief, "said": self.facts.notes.get(step_id, ""), "step_id": step_id}
        values |= {"department": names.get(f"department:{slug}", slug)}
        template = self._plain(name)
        return Words(subject=subject_line(template.subject, values), text=fill_in(template.text, values))

    def _make(self, key: str, template: Template, audience: Audience, *, loop_in: bool = False) -> OutgoingMail:
        if template.internal != (audience in {Audience.ACCOUNTS, Audience.RETURNS_INBOX}):
            raise Permanent("letters", "wrong-audience", f"this letter is not one for {audience}")
        values = self.values()
        if template.internal:
            return self._internal(key, template, values, self._team(audience))
        return self._to_client(key, template, values, loop_in=loop_in)

    def nudge(self, effect: Nudge, step: OpenStep, asked: Addressed, reader: Reader) -> OutgoingMail:
        """Asks whoever the step belongs to by now, with its instructions."""
        known = self.texts.instructions[step.name]
        values = self.values(foreseen=True) | {
            "chase": effect.chase,
            "replied": effect.replied,
            "why": effect.why,
            "passed_on": effect.passed_on,
            "title": known.title,
            "due": in_zone(step.deadline.due, reader.zone),
            "why_due": step.deadline.why(reader.zone, reader.names),
            "owner": asked.named or reader.names.get(step.owner, step.owner),
            "owner_name": asked.to[0].name if len(asked.to) == 1 else "",
            "fell_back": by_name(asked.fell_back, reader.names),
            "clause": step.clause,
            "link": self.settings.page_of(self.facts.case_id, step.step_id),
            "task_url": self.facts.task_url,
            "instructions": self.instructions(step),
        }
        return self._internal(effect.key, NUDGE, values, [Mailbox(one.email, one.name) for one in asked.to])

    def instructions(self, step: OpenStep) -> str:
        """The SOP's instructions of a step, with this case's leads, amounts and commands."""
        values = self.values(foreseen=True) | {
            "step_id": step.step_id,
            "waiting_for": step.waiting_for,
            "about": step.reference.split(),
            "broken": [
                {"what": one.kind.replace("-", " "), "clause": one.clause, "code": one.code}
                for one in self.facts.effects
                if one.key == step.reference
            ],
        }
        return fill_in(self.texts.instructions[step.name].text, values)

    def values(self, *, foreseen: bool = False) -> Values:
        """What a text may name."""
        facts, thread = self.facts, self.facts.thread
        said = answer_of(facts, foreseen=foreseen)
        billed = [lead.billing for lead in valid_leads(facts.leads, facts.findings, facts.reductions) if lead.billing]
        return {
            "found": facts.request,
            "answer": said,
            "asked": facts.asked,
            "asked_back": _words(facts, ActKind.ASK_BACK),
            "case_id": facts.case_id,
            "conversation": [_spoken(one) for one in facts.said if one.kind in _TALKS and one.step_name != "declined"],
            "client_id": facts.client_id,
            "client_name": facts.client_name,
            "confirmed_at": _moment(facts.confirmed_at) if facts.confirmed_at else "",
            "confirmed_by": facts.confirmed_by,
            "declining": _words(facts, ActKind.DECLINE),
            "department_name": (thread.department_name if thread else "") or "CommVersion",
            "doubt": sop.DOUBT_TEXTS.get(Doubt(str(facts.request.get("doubt", ""))), ""),
            "decided": _decided(facts),
            "draft_leads": [one for one in billed if one.state == "draft"],
            "lead_ids": list(dict.fromkeys(lead.lead_id for lead in facts.leads)),
            "to_investigate": [lead.lead_id for lead in facts.leads if not lead.problem],
            "limit": facts.limit,
            "linked_to": facts.linked_to,
            "note": str(facts.request.get("note", "")),
            "opened_at": _moment(facts.opened_at),
            "rejection": _words(facts, ActKind.REJECT),
            "reply_subject": _reply_subject(thread),
            "sent_on": f"{thread.sent_at.astimezone(_LONDON):%d %B %Y}" if thread and thread.sent_at else "",
            "token": self.token,
            "total": _total(billed),
            "valid_leads": billed,
        }

    def _team(self, audience: Audience) -> tuple[Mailbox, ...]:
        """Our own addresses, from this process's configuration: no import leads what is said to Accounts astray."""
        if audience is Audience.RETURNS_INBOX:
            return (Mailbox(self.settings.returns_inbox, _TEAM),)
        return (Mailbox(self.settings.accounts_address, "Accounts"),)

    def _internal(self, key: str, template: Template, values: dict[str, object], to: Sequence[Mailbox]) -> OutgoingMail:
        """To our own people only; a client's address among them stops it."""
        addresses = _unique([one.address for one in to])
        outside = {*self.facts.client_addresses, *([self.facts.thread.sender] if self.facts.thread else [])}
        if not addresses:
            raise _nobody("nobody of ours would receive this e-mail: add the department")
        if outside & set(addresses):
            raise Permanent(
                "letters", "internal-mail-to-client", "this internal e-mail would reach the client: correct the address"
            )
        return self._outgoing(key, template, values, addresses)

    def _outgoing(self, key: str, template: Template, values: Values, to: tuple[str, ...]) -> OutgoingMail:
        sender, name = self._sender()
        copied = not to or sender in to or template is NUDGE or self.texts.inbox != "returns"
        return OutgoingMail(
            message_id=ids.message_id(key, self.settings.mail_domain),
            sender=sender,
            sender_name=name,
            to=to,
            cc=() if copied else (sender,),
            subject=subject_line(template.subject, values),
            text=fill_in(template.text, values),
        )

    def _sender(self) -> tuple[str, str]:
        if self.texts.inbox == "returns":
            return self.settings.returns_inbox.lower(), _TEAM
        return self.settings.requests_address.lower(), _SUPPORT

    def _to_client(self, key: str, template: Template, values: Values, *, loop_in: bool) -> OutgoingMail:
        """In the client's thread, to the client and everybody else of the original mail, the returns inbox in copy."""
        thread, inbox = self.facts.thread, self.settings.returns_inbox.lower()
        client = self._client_address(thread)
        if thread is None or not client:
            raise _nobody("nobody can say whom to answer: the client's own address is not known")
        sender, name = (thread.department, thread.department_name) if loop_in and thread.department else (inbox, _TEAM)
        return OutgoingMail(
            message_id=ids.message_id(key, self.settings.mail_domain),
            sender=sender,
            sender_name=name,
            to=(client,),
            cc=_unique([*thread.to, *thread.cc, inbox], without=client),
            subject=subject_line(template.subject, values),
            text=fill_in(template.text, values),
            in_reply_to=thread.message_id,
            references=_unique([*thread.references, thread.message_id], lower=False),
        )

    def _client_address(self, thread: CaseThread | None) -> str:
        """The sender of the original; where nobody could read it, the client's only address, never one of several."""
        if thread and thread.sender:
            return thread.sender.lower()
        return self.facts.client_addresses[0] if len(self.facts.client_addresses) == 1 else ""


def _nobody(message: str) -> Permanent:
    return Permanent("letters", "nobody-to-send-to", message)


def _total(billed: Sequence[LeadBilling]) -> str:
    """What the valid leads come to in GBP, "" unless each has a rate that counts."""
    amounts = [lead.gbp for lead in billed]
    known = [amount for amount in amounts if amount is not None]
    return f"GBP {sum(known):,.2f}" if known and len(known) == len(amounts) else ""


def _unique(values: Sequence[str], *, without: str = "", lower: bool = True) -> tuple[str, ...]:
    found = dict.fromkeys(value.lower() if lower else value for value in values if value)
    return tuple(value for value in found if value != without)


def _reply_subject(thread: CaseThread | None) -> str:
    subject = (thread.subject if thread else "").strip() or "Your returned leads"
    return subject if subject.lower().startswith("re:") else f"Re: {subject}"


def _moment(at: datetime) -> str:
    return in_zone(at)
