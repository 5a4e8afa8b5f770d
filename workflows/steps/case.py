"""The state of one case: what is done, open, arrived. A plain object; the steps are functions that take it."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import TypeVar

from pydantic import JsonValue
from temporalio import workflow

from domain.acts_arrived import Arrived, claimed_step
from domain.case import Carried, CaseEvent, CaseStatus, CaseView, Deadline, EventKind, OpenStep, Request
from domain.effects import Effect, Receipt
from domain.messages import ClientMessage, Fact, FactKind, SignedAct, Unreadable
from domain.model import Model
from domain.rules.running_clock import HOLDFAST, Clock, Happening, as_shown, follow, hold, meet, passed
from domain.steps import Desk, Look

MOST_HANDLED = 500
MOST_WAITING = 2_000
MOST_WAITING_BYTES = 700_000  # all of it is handed over at continue-as-new, whose input has a limit of 2 MB
MOST_MESSAGES = 200


M = TypeVar("M", ClientMessage, Fact)
K = TypeVar("K", bound=Model)


def _size(act: SignedAct) -> int:
    return len(act.body) + len(act.payload)


class Case:
    """One execution of an SOP for one client. Handlers add to it; steps take from it."""

    def __init__(self, request: Request, kind: str, desk: Desk) -> None:
        info = workflow.info()
        carried = (request.carried if info.continued_run_id else None) or Carried()
        self.request = request
        self.kind = kind
        self.desk = desk
        self.workflow_id = info.workflow_id
        self.opened_at = carried.opened_at or workflow.now()
        self.done = dict(carried.done)
        self.open = dict(carried.open)
        self.deadlines = dict(carried.deadlines)
        self.acts = {act: self._step_of(act) for act in carried.acts}
        self.came = {act: (step, workflow.now()) for act, step in self.acts.items()}
        self.waiting_bytes = sum(map(_size, carried.acts))
        self.messages = list(carried.messages)
        self.facts = list(carried.facts)
        self.handled = dict.fromkeys(carried.handled)
        self.events = list(carried.events)
        self.broken = dict(carried.broken)
        self.blocked = dict(carried.blocked)
        self.beside = dict(carried.beside)
        self.left_out = dict(carried.left_out)
        self.awaits_reply = carried.awaits_reply
        self.clocks, self.clock_changes, self.telling = dict(carried.clocks), 0, False
        self.patches = dict.fromkeys(carried.patches)
        self.admitted = carried.admitted
        self.unwritten = carried.unwritten  # what ended since this version is not in the tables yet
        self.news = list(carried.news)
        self.linked = dict(carried.linked)
        self.refused, self.refusals = carried.refused, carried.refusals
        self.version = carried.version
        self.client_id = request.client_id
        self.unreadable = dict(carried.unreadable)
        self.counted: dict[str, int] = {}
        self.passed_on: dict[str, Callable[[OpenStep, str], Sequence[Effect]]] = {}  # by step, anew in every run
        self.looks: dict[str, Look] = {}  # by step, anew in every run
        self.status, self.outcome = CaseStatus.OPEN, ""
        self.doing = "starting"
        self.in_flight = 0
        self.resumed = 0
        self.fault: Exception | None = None

    def key(self, name: str) -> str:
        """`name` the first time, then `name.2`, ...: the same in every run, since `run` starts from the top.

        A case that was opened again has keys of its own: what was asked and sent before is not taken for done.
        """
        self.counted[name] = self.counted.get(name, 0) + 1
        named = self.named(name)
        return named if self.counted[name] == 1 else f"{named}.{self.counted[name]}"

    def next_named(self, name: str) -> str:
        """What `key` returns the next time that it is asked for this name."""
        return f"{self.named(name)}.{self.counted.get(name, 0) + 1}"

    def named(self, name: str) -> str:
        """What a step is called in this cycle of the case."""
        return name if self.request.cycle == 1 else f"{name}@{self.request.cycle}"

    def now(self) -> datetime:
        """The case's own time."""
        return workflow.now()

    def keep(self, name: str, value: K) -> K:
        """A value that was found out on the way, as it was the first time: the same in every run."""
        key = self.key(name)
        self.done.setdefault(key, value.model_dump_json())
        return type(value).model_validate_json(self.done[key])

    def tell(self, fact: Fact) -> None:
        """Keeps a fact until the SOP takes it: several of one thing are one, and a flood of them is bounded."""
        said = [(one.kind, one.reference) for one in self.news]
        if (fact.kind, fact.reference) not in said and len(self.news) < MOST_MESSAGES:
            self.news.append(fact)

    def take_news(self, kind: FactKind, reference: str = "") -> bool:
        """Whether there was something new of this kind (about `reference`, if that is given): it is then taken."""
        mine = [one for one in self.news if one.kind is kind and reference in {"", one.reference}]
        self.news = [one for one in self.news if one not in mine]
        return bool(mine)

    def has_news(self, kind: FactKind, reference: str = "") -> bool:
        return any(one.kind is kind and reference in {"", one.reference} for one in self.news)

    def note(
        self,
        kind: EventKind,
        clause: str,
        text: str,
        *,
        step_id: str = "",
        at: datetime | None = None,
        **data: JsonValue,
    ) -> None:
        """Adds a line to the audit trail; it rides on the next activity. `at`: when it was, if not now."""
        when = at or workflow.now()
        self.events.append(CaseEvent(kind=kind, clause=clause, at=when, step_id=step_id, text=text, data=data))

    def note_once(self, name: str, kind: EventKind, clause: str, text: str) -> None:
        """A line that is told once in the case's life, however often `run` starts from the top."""
        key = self.key(name)
        if key not in self.done:
            self.done[key] = "null"
            self.note(kind, clause, text)

    def note_often(self, kind: EventKind, clause: str, text: str, times: int) -> None:
        """A line that may come many times: while it waits to be written, more of the same only add to its count."""
        last = self.events[-1] if self.events else None
        if last and (last.kind, last.text) == (kind, text):
            self.events.pop()
            before = last.data.get("times")
            times += before if isinstance(before, int) else 0
        self.note(kind, clause, text, times=times)

    def received(self, receipts: Sequence[Receipt]) -> None:
        """Remembers whom an effect left out, until somebody is told of them."""
        for missing in (one.data.get("missing") for one in receipts):
            for person in missing if isinstance(missing, list) else ():
                self.left_out.setdefault(str(person), False)

    def note_warnings(self, until: datetime | None = None) -> None:
        """How much of its time each clock has used, where that nudges nobody: told with whatever comes next."""
        for key, clock in self.clocks.items():
            self.clocks[key], happened = passed(clock, until or workflow.now())
            for one in happened:
                self.note_warning(clock, one)

    def note_warning(self, clock: Clock, what: Happening) -> str:
        """Adds its line, under its own moment, and returns the words."""
        text = f"{what.point} % of the time for {clock.in_words} is used; due {clock.due:%a %d %b %Y %H:%M} UTC."
        self.note(
            EventKind.WARNED,
            clock.target.clause,
            text,
            step_id=clock.step_id,
            at=what.at,
            clock=clock.clock_id,
            percent=what.point,
        )
        return text

    def take_events(self) -> tuple[CaseEvent, ...]:
        self.note_warnings()
        taken, self.events = tuple(self.events), []
        return taken

    def give_back(self, events: tuple[CaseEvent, ...]) -> None:
        self.events[:0] = events

    def view(self, *, without: str = "") -> CaseView:
        """The case as it stands; `without` leaves out a step that is about to end.

        Its version grows with the clock, so that what a reset run shows is newer than what it overtakes.
        """
        self.version = max(self.version + 1, int(workflow.now().timestamp() * 1000))
        calendar, now = self.request.calendar, workflow.now()
        ending = [one for one in self.clocks.values() if without and one.step_id == without and one.runs]
        begins = [begun for one in ending if (begun := follow(one, now, calendar))]
        return CaseView(
            case_id=self.request.case_id,
            workflow_id=self.workflow_id,
            kind=self.kind,
            client_id=self.client_id,
            status=self.status,
            outcome=self.outcome,
            opened_at=self.opened_at,
            steps=tuple(step for key, step in self.open.items() if key != without),
            doing=self.doing,
            broken=tuple(self.broken),
            refused=self.refused,
            clocks=tuple(self._as_shown(one, without) for one in (*self.clocks.values(), *begins)),
            version=self.version,
        )

    def _as_shown(self, clock: Clock, without: str) -> Clock:
        """A clock in a view; what the end of a step meets is met in the one without it."""
        return as_shown(meet(clock, workflow.now()) if without and clock.step_id == without else clock)

    def written(self, view: CaseView) -> None:
        """The tables hold this view now: whatever ended before it was made is not shown there any more."""
        if view.version > self.unwritten:
            self.unwritten = 0

    def patched(self, name: str) -> bool:
        """`workflow.patched`, frozen for the whole life of the case across continue-as-new."""
        if name not in self.patches and not workflow.info().continued_run_id and workflow.patched(name):
            self.patches[name] = None
        return name in self.patches

    def arrive(self, arrived: Arrived) -> None:
        """Remembers a signal; the same event twice counts once, and a flood is bounded."""
        match arrived:
            case SignedAct():
                self._arrive_act(arrived)
            case ClientMessage() if self._is_new(arrived.event_id):
                self._arrive_bounded(self.messages, arrived, "client_replied")
            case Fact() if self._is_new(arrived.event_id):
                self._arrive_bounded(self.facts, arrived, "event")
            case Unreadable():
                self._refuse(arrived)
            case _:
                pass

    def _arrive_act(self, act: SignedAct) -> None:
        step = claimed_step(act, self.request.case_id, self.workflow_id)
        if isinstance(step, Unreadable):
            self._refuse(step)
        elif act in self.acts:
            return
        elif self.acts and (len(self.acts) >= MOST_WAITING or self.waiting_bytes + _size(act) > MOST_WAITING_BYTES):
            self._refuse(Unreadable(signal="act", why="more acts at once than a case takes"))
        else:
            self.acts[act] = step
            self.came.setdefault(act, (step, workflow.now()))
            self.waiting_bytes += _size(act)

    def _arrive_bounded(self, waiting: list[M], arrived: M, signal: str) -> None:
        if len(waiting) < MOST_MESSAGES:
            waiting.append(arrived)
        else:
            self._refuse(Unreadable(signal=signal, why="more of them at once than a case takes"))

    def _is_new(self, event_id: str) -> bool:
        if event_id in self.handled:
            return False
        self.handled[event_id] = None
        while len(self.handled) > MOST_HANDLED:
            self.handled.pop(next(iter(self.handled)))
        return True

    def _refuse(self, what: Unreadable) -> None:
        """Visible, coalesced: the first of a kind and every power of ten is a line of the audit trail."""
        label = f"{what.signal}: {what.why}"
        if label not in self.unreadable and len(self.unreadable) >= 20:  # noqa: PLR2004  more kinds of nonsense than that are one kind
            label = "other signals"
        self.unreadable[label] = times = self.unreadable.get(label, 0) + 1
        self.refused += 1
        if times == 10 ** (len(str(times)) - 1):
            self.note(EventKind.UNREADABLE, self.desk.trail, f"A signal was refused: {label}.", times=times)

    def mine(self, step_id: str) -> list[SignedAct]:
        """The acts for a step, and those for no open step (they are refused by whoever wakes first)."""
        return [act for act, to in self.acts.items() if to == step_id or to not in self.open]

    def has_acts(self, step_id: str) -> bool:
        """Whether there is any of `mine`."""
        return any(to == step_id or to not in self.open for to in self.acts.values())

    def _step_of(self, act: SignedAct) -> str:
        step = claimed_step(act, self.request.case_id, self.workflow_id)
        return step if isinstance(step, str) else ""

    def take_acts(self, step_id: str, most: int) -> tuple[SignedAct, ...]:
        taken = tuple(self.mine(step_id)[:most])
        for act in taken:
            del self.acts[act]
            self.waiting_bytes -= _size(act)
        return taken

    def give_back_acts(self, acts: tuple[SignedAct, ...]) -> None:
        for act in acts:
            self._arrive_act(act)

    def came_at(self, act: SignedAct) -> datetime:
        return self.came[act][1] if act in self.came else workflow.now()

    def judged(self, acts: tuple[SignedAct, ...]) -> None:
        for act in acts:
            self.came.pop(act, None)

    def is_undecided(self, step_id: str, by: datetime) -> bool:
        """Whether an act for an open step (`step_id`, or "" any) that came by this moment waits to be judged."""
        return any(to in self.open and step_id in {"", to} and at <= by for to, at in self.came.values())

    def hold_clocks(self) -> None:
        """Remembers who holds each step and each clock from now on: its step's owner, else whoever must act first."""
        self.open = {key: step.hold(workflow.now()) for key, step in self.open.items()}
        if not self.clocks:
            return
        first = min(self.open.values(), key=lambda one: one.deadline.due, default=None)
        for key, clock in self.clocks.items():
            step = self.open.get(clock.step_id) or first
            self.clocks[key] = hold(clock, step.owner if step else HOLDFAST, workflow.now())

    def should_continue(self) -> bool:
        """Whether this is a moment to continue as new: the history is long, and nothing is in flight."""
        suggested = workflow.info().is_continue_as_new_suggested()
        return suggested and self.in_flight == 0 and workflow.all_handlers_finished()

    def continue_as_new(self) -> None:
        """Hands everything to a new run, in one uninterruptible step."""
        workflow.continue_as_new(self.request.model_copy(update={"carried": self._carried()}))

    def _carried(self) -> Carried:
        return Carried(
            opened_at=self.opened_at,
            done=self.done,
            open=self.open,
            deadlines=self.deadlines,
            acts=tuple(self.acts),
            messages=tuple(self.messages),
            facts=tuple(self.facts),
            handled=tuple(self.handled),
            events=tuple(self.events),
            broken=self.broken,
            blocked=self.blocked,
            beside=self.beside,
            left_out=self.left_out,
            unwritten=self.unwritten,
            awaits_reply=self.awaits_reply,
            patches=tuple(self.patches),
            admitted=self.admitted,
            news=tuple(self.news),
            linked=self.linked,
            refused=self.refused,
            refusals=self.refusals,
            unreadable=self.unreadable,
            clocks=self.clocks,
            version=self.version,
        )

    def mint(self, key: str, label: str, clause: str, after: timedelta, since: datetime | None = None) -> Deadline:
        """The deadline of a key: made once, then remembered."""
        if key not in self.deadlines:
            start = since or workflow.now()
            self.deadlines[key] = Deadline(label=label, clause=clause, since=start, after=after, due=start + after)
        return self.deadlines[key]
