"""A case: one execution of an SOP for one client, and what is shown of it."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum

from pydantic import Field, JsonValue

from domain.messages import ClientMessage, Fact, SignedAct
from domain.model import Model
from domain.rules.calendar import Calendar
from domain.rules.clock import Target
from domain.rules.hours import LONDON, in_zone
from domain.rules.running_clock import MOST_OWNERS, Clock, Owned, minutes
from domain.texts import canonical, digest


class CaseStatus(StrEnum):
    OPEN = "open"
    CLOSED = "closed"
    CANCELLED = "cancelled"
    REFUSED = "refused"


class EventKind(StrEnum):
    """What a line of the audit trail tells. ACT_* and EFFECT_* are written only by the activities that check them."""

    OPENED = "opened"
    ASKED = "asked"
    CHASED = "chased"
    BREACHED = "breached"
    MOVED = "moved"
    NOTED = "noted"
    UNREADABLE = "unreadable"
    CLOSED = "closed"
    RESUMED = "resumed"
    PROMISED = "promised"  # a clock was started
    WARNED = "warned"
    PAUSED = "paused"
    RAN_AGAIN = "ran-again"
    MET = "met"
    INTRUDED = "intruded"  # somebody else's workflow asked one of our activities for something
    ACT_ACCEPTED = "act.accepted"
    ACT_REFUSED = "act.refused"
    EFFECT_SENT = "effect.sent"
    EFFECT_FAILED = "effect.failed"
    EFFECT_UNKNOWN = "effect.unknown"
    EFFECT_HELD = "effect.held"
    EFFECT_REFUSED = "effect.refused"


class CaseEvent(Model):
    """One line of the audit trail, told by the workflow. `at` is the workflow's time; `data` holds no personal data."""

    kind: EventKind
    clause: str
    at: datetime
    step_id: str = ""
    text: str = ""
    data: dict[str, JsonValue] = Field(default_factory=dict)


class Move(Model):
    """Somebody moved a deadline, or something did that `why` names. `by`: a person's id."""

    before: datetime
    after: datetime
    by: str = ""
    why: str = ""

    def in_words(self, zone: str = LONDON, names: Mapping[str, str] | None = None) -> str:
        """For people: in their own zone, and by what people are called."""
        by = f" by {(names or {}).get(self.by, self.by)}" if self.by else ""
        why = f": {self.why}" if self.why else ""
        return f"moved from {in_zone(self.before, zone)} to {in_zone(self.after, zone)}{by}{why}"


class Deadline(Model):
    """An absolute moment and why it is there: `due` = `since` + `after`, unless it was moved."""

    label: str
    clause: str
    since: datetime
    after: timedelta
    due: datetime
    moved: tuple[Move, ...] = ()

    def later(self, how: Move) -> "Deadline":
        """The deadline once it was moved."""
        return self.model_copy(update={"due": how.after, "moved": (*self.moved, how)})

    def why(self, zone: str = LONDON, names: Mapping[str, str] | None = None) -> str:
        """The deadline in one sentence, for people."""
        hours = self.after.total_seconds() / 3600
        made = f"{self.label}: {hours:g} h after {in_zone(self.since, zone)} ({self.clause})"
        return "; ".join((made, *(one.in_words(zone, names) for one in self.moved)))


class OpenStep(Model):
    """A person's step that waits: never without an owner and a deadline."""

    step_id: str
    name: str
    clause: str
    kinds: tuple[str, ...]  # the act kinds that end it
    role: str  # Role: whom it is asked of
    claimed_by: str = ""  # person id
    subject: str  # which set of the case it is about: all, valid, issued
    waiting_for: str  # one line, no personal data
    asked_at: datetime
    deadline: Deadline
    chased: int = 0
    reassigned_to: str = ""  # person id
    reference: str = ""  # what a step is about: an effect's key, or lead ids with spaces between them
    hears_client: bool = False  # whoever has it is told what the client writes meanwhile
    covered_by: str = ""  # person id: who does it while none of its own people is here
    urgent: bool = False  # an emergency: whoever is told of it is told whatever the hour
    missed: datetime | None = None  # it was due then and was not done: what follows are reminders
    held: tuple[Owned, ...] = ()  # whose it was, and from when on

    @property
    def owner(self) -> str:
        """Who must act today, by person id or role."""
        return self.covered_by or self.belongs_to

    @property
    def belongs_to(self) -> str:
        """Whose it is, here or not."""
        return self.claimed_by or self.reassigned_to or self.role

    def owned(self, claimed_by: str, reassigned_to: str) -> "OpenStep":
        """The step with this owner; whoever covered for another one covers no more."""
        if (claimed_by, reassigned_to) == (self.claimed_by, self.reassigned_to):
            return self
        return self.model_copy(update={"claimed_by": claimed_by, "reassigned_to": reassigned_to, "covered_by": ""})

    def hold(self, now: datetime) -> "OpenStep":
        """From now on it is in its owner's hands, until it is in another one's."""
        if self.held and self.held[-1].owner == self.owner:
            return self
        before = [one for one in self.held if one.since < now][-MOST_OWNERS + 1 :]
        return self.model_copy(update={"held": (*before, Owned(since=now, owner=self.owner))})

    def minutes_held(self, until: datetime) -> dict[str, int]:
        """How long it was in whose hands: together, as long as it is open."""
        lengths: dict[str, timedelta] = {}
        for one, end in zip(self.held, [*(after.since for after in self.held[1:]), until], strict=True):
            lengths[one.owner] = lengths.get(one.owner, timedelta()) + max(timedelta(), end - one.since)
        return minutes(lengths)


class CaseView(Model):
    """What a case says of itself: derived from the open steps, never set by an SOP."""

    case_id: str
    workflow_id: str
    kind: str
    client_id: str
    status: CaseStatus = CaseStatus.OPEN
    outcome: str = ""
    opened_at: datetime
    steps: tuple[OpenStep, ...] = ()
    doing: str = ""  # what happens when no person is waited for
    broken: tuple[str, ...] = ()  # effect keys that are being mended
    refused: int = 0  # acts and signals that were refused
    clocks: tuple[Clock, ...] = ()
    version: int = 0  # grows with each view, through resets too: an older one never overwrites a newer

    @property
    def next(self) -> OpenStep | None:
        """The open step that is due first."""
        return min(self.steps, key=lambda step: step.deadline.due, default=None)


class Broken(Model):
    """An effect that was not done and is being mended. Held as JSON here; `domain.effects` knows the types."""

    effect: dict[str, JsonValue]
    receipt: dict[str, JsonValue]
    attempt: int = 0


class Carried(Model):
    """What one run hands to the next at continue-as-new. Honoured only in a run that really continues another."""

    opened_at: datetime | None = None
    done: dict[str, str] = Field(default_factory=dict)
    open: dict[str, OpenStep] = Field(default_factory=dict)
    deadlines: dict[str, Deadline] = Field(default_factory=dict)
    acts: tuple[SignedAct, ...] = ()
    messages: tuple[ClientMessage, ...] = ()
    facts: tuple[Fact, ...] = ()
    handled: tuple[str, ...] = ()
    events: tuple[CaseEvent, ...] = ()
    broken: dict[str, Broken] = Field(default_factory=dict)  # by effect key
    blocked: dict[str, Broken] = Field(default_factory=dict)  # what a step blocks on, by the step's key
    patches: tuple[str, ...] = ()
    news: tuple[Fact, ...] = ()  # facts that the SOP itself waits for
    linked: dict[str, str] = Field(
        default_factory=dict
    )  # cases this one opened: "" while they are open, else how they ended
    admitted: bool = False  # its first activity found it to be what a door took in
    refused: int = 0
    refusals: int = 0  # acts refused in a row: how patiently a flood is heard
    unreadable: dict[str, int] = Field(default_factory=dict)  # how often each kind of refused signal came
    beside: dict[str, str] = Field(default_factory=dict)  # facts that a person looks at beside the case, by event id
    left_out: dict[str, bool] = Field(
        default_factory=dict
    )  # whom an effect could not put where they belong: whether somebody was told of them
    unwritten: int = 0  # the version that the tables show at the most
    awaits_reply: bool = False
    clocks: dict[str, Clock] = Field(default_factory=dict)
    version: int = 0


class Request(Model):
    """What every SOP's input has. `chase_every`, `calendar` and `targets` are what the door found in force."""

    case_id: str
    client_id: str
    chase_every: timedelta = timedelta(hours=48)
    calendar: Calendar | None = None  # of the team's working time
    targets: tuple[Target, ...] = ()
    cycle: int = 1  # 2 and on: the case was closed and opened again
    opening: dict[str, JsonValue] | None = None  # started in Temporal itself: what the door is to check and take in
    opened_by: str = ""  # who asked for it, and how they proved who they are: for the audit trail, by ids
    carried: Carried | None = None

    @property
    def stamp(self) -> str:
        """SHA-256 of what a door made of a request: kept with the case, and compared by its first activity."""
        given = self.model_dump(mode="json", exclude={"carried"}, exclude_defaults=True)
        return digest(canonical(given))
