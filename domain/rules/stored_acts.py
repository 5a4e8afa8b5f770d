"""What people signed about a case, out of the stored acts that prove themselves.

A row in the table proves nothing: each act is verified anew, as of the moment it was accepted, by whoever relies on it.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from pydantic import ValidationError

from domain.errors import Refused
from domain.messages import ActKind, SignedAct
from domain.people import Identity
from domain.return_lead import FinalDecision, Findings, Reduction, Verdict
from domain.rules.acts import Keys, Opened, Ownership, Past, changed, open_act, untimely
from domain.rules.authority import may_sign
from domain.subject import Subject
from domain.texts import digest

DECISIONS = frozenset({ActKind.APPROVE, ActKind.REJECT, ActKind.ASK_BACK, ActKind.WITHDRAW})


@dataclass(frozen=True)
class StoredAct:
    """A row of the acts table. `accepted_at`: whole seconds since 1970, written by the database itself."""

    seq: int
    jti: str
    case_id: str
    workflow_id: str
    step_id: str
    kind: str
    subject: str
    subject_sha256: str
    issuer: str
    sub: str
    person_id: str
    auth: str
    act: SignedAct
    accepted_at: int


@dataclass(frozen=True)
class Trust:
    """What a process believes in, from its own configuration. `local_counts`: every vendor address is loopback."""

    keys: Keys
    deployment: str
    local_counts: bool


@dataclass(frozen=True)
class Standing:
    """A stored act that proves itself."""

    row: StoredAct
    opened: Opened
    subject: Subject

    @property
    def kind(self) -> ActKind:
        return self.opened.kind

    @property
    def who(self) -> Identity:
        return self.opened.body.actor

    @property
    def signed(self) -> tuple[int, int]:
        """When, in whole seconds since 1970; within one second, in the order of acceptance."""
        return self.opened.body.iat, self.row.seq


@dataclass(frozen=True)
class Word:
    """What counts of what was said about a case: the latest findings, confirmation and decision of Accounts.

    In the order it was signed, which nobody else chooses: in which order it was stored, the SOP worker does.
    """

    acts: tuple[Standing, ...] = ()

    @property
    def findings(self) -> Standing | None:
        return self._latest(ActKind.FINDINGS)

    @property
    def confirmation(self) -> Standing | None:
        return self._latest(ActKind.CONFIRM)

    @property
    def authorisation(self) -> Standing | None:
        """The latest of an authorisation and its refusal: a withdrawal wins."""
        return self._latest(ActKind.AUTHORISE, ActKind.DECLINE)

    @property
    def decision(self) -> Standing | None:
        """The latest word of an approver, whichever way: a withdrawal wins over the approval before it."""
        return self._latest(*DECISIONS)

    @property
    def past(self) -> Past:
        return Past(
            investigators=self._actors(ActKind.FINDINGS, ActKind.DECIDED),
            confirmers=self._actors(ActKind.CONFIRM),
            approvers=self._actors(ActKind.APPROVE),
            requesters=self._actors(ActKind.TRIAGE),
        )

    @property
    def valid(self) -> dict[str, tuple[str, ...]]:
        """Evidence hashes by lead: found valid by the latest findings, or by the final decision on a dispute since
        (RL-10), and not withdrawn.
        """
        found = self.findings
        if not found or not isinstance(found.opened.result, Findings):
            return {}
        valid = {one.lead_id: one.evidence for one in found.opened.result.findings if one.verdict is Verdict.VALID}
        gone: set[str] = set()
        for act in self.acts:
            match act.opened.result:
                case Reduction(leads=leads):
                    gone |= {one.lead_id for one in leads}
                case FinalDecision(overturned=overturned) if act.signed > found.signed:
                    gone -= {one.lead_id for one in overturned}
                    valid |= {one.lead_id: one.evidence for one in overturned}
                case _:
                    pass
        return {lead_id: evidence for lead_id, evidence in valid.items() if lead_id not in gone}

    def by_jti(self, jti: str) -> Standing | None:
        return next((act for act in self.acts if act.row.jti == jti), None)

    def _latest(self, *kinds: ActKind) -> Standing | None:
        return next((act for act in reversed(self.acts) if act.kind in kinds), None)

    def _actors(self, *kinds: ActKind) -> frozenset[Identity]:
        return frozenset(act.who for act in self.acts if act.kind in kinds)


def word(rows: Iterable[StoredAct], trust: Trust) -> Word:
    """The acts that stand, in the order they were signed; rows that prove nothing are as if they were not there."""
    standing = [act for row in rows if (act := stands(row, trust))]
    return Word(tuple(sorted(standing, key=lambda act: act.signed)))


def stands(row: StoredAct, trust: Trust) -> Standing | None:
    """The act if it proves itself as of its acceptance, else None. Retirement of its key since then changes nothing."""
    try:
        opened = open_act(row.act, trust.keys)
        subject = Subject.model_validate_json(row.subject)
    except (Refused, ValidationError):
        return None
    faults = (
        _unlike(row, opened, trust),
        _late(row, opened),
        _misjudged(opened, trust),
        subject.json_text != row.subject,
    )
    return None if any(faults) else Standing(row, opened, subject)


def ownership(said: Word, step_id: str) -> Ownership:
    """Whose a step is, after all its claims, releases and reassignments as they were accepted."""
    own = Ownership()
    for act in sorted(said.acts, key=lambda one: one.row.seq):
        if act.row.step_id == step_id:
            own = changed(act.opened, act.row.person_id, own)
    return own


def _unlike(row: StoredAct, opened: Opened, trust: Trust) -> bool:
    body = opened.body
    said = (
        body.jti,
        body.case_id,
        body.workflow_id,
        body.step_id,
        body.kind,
        body.subject_sha256,
        body.auth,
        body.actor,
    )
    stored = (row.jti, row.case_id, row.workflow_id, row.step_id, row.kind, row.subject_sha256, row.auth)
    whole = digest(row.subject) == body.subject_sha256 and body.deployment == trust.deployment
    return not whole or said != (*stored, Identity(issuer=row.issuer, sub=row.sub))


def _late(row: StoredAct, opened: Opened) -> bool:
    retired = opened.retired_at
    if retired is not None and max(opened.body.iat, row.accepted_at) > retired:
        return True
    return bool(untimely(opened.body, row.accepted_at))


def _misjudged(opened: Opened, trust: Trust) -> bool:
    return bool(may_sign(opened.body.kind, opened.body.auth, local_counts=trust.local_counts)) or bool(
        opened.body.acting_for
    )
