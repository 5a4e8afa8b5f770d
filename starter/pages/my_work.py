"""My work, the page after signing in: what waits for somebody and their team, by urgency, and done where it stands."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from fastapi import APIRouter
from starlette.responses import Response

from adapters.postgres.my_work import Work, WorkRow
from domain.texts import canonical, digest
from starter.pages.render import LONDON, case_url, page
from starter.pages.visitor import Visitor, Who

pages = APIRouter()
_NUMBER = re.compile(r"[1-9][0-9]{0,3}")


@dataclass(frozen=True)
class Card:
    """A step on the page. `late`: it is overdue."""

    row: WorkRow
    whose: str  # mine, free, or a colleague's person id
    late: bool
    today: bool


@dataclass(frozen=True)
class Board:
    """A page of it, `number` of `pages`, `total` steps in all.

    `seen`: a name for exactly this, by which the page finds out that something changed.
    """

    overdue: tuple[Card, ...]
    today: tuple[Card, ...]
    later: tuple[Card, ...]
    others: tuple[Card, ...]
    total: int
    pages: int
    number: int
    seen: str

    @property
    def groups(self) -> tuple[tuple[str, str, tuple[Card, ...]], ...]:
        shown = (("overdue", "Overdue", self.overdue), ("today", "Today", self.today), ("later", "Later", self.later))
        return tuple(one for one in shown if one[2])


@pages.get("/")
async def my_work(
    who: Who, part: str = "", seen: str = "", case: str = "", act: str = "", number: str = "1"
) -> Response:
    shown = int(number) if _NUMBER.fullmatch(number) else 1
    made = board_of(await _work(who, shown), who.person_id, who.session.now, shown)
    if part:
        return page("work_news.html", who, changed=made.seen != seen)
    names = await who.house.pages.names()
    return page("work.html", who, board=made, names=names, now=who.session.now, done=_done(case, act))


async def _work(who: Visitor, number: int) -> Work:
    return await who.house.work.of(who.person_id, {*who.colleague.roles, *who.colleague.person.managers_of}, number)


def board_of(work: Work, person_id: str, now: datetime, number: int = 1) -> Board:
    """The cards by urgency; within each, broken promises first, then what is due first."""
    cards = [_card(row, person_id, now) for row in work.rows]
    ours = [one for one in cards if one.whose in {"mine", "free"}]
    return Board(
        overdue=tuple(one for one in ours if one.late),
        today=tuple(one for one in ours if one.today and not one.late),
        later=tuple(one for one in ours if not one.today and not one.late),
        others=tuple(one for one in cards if one.whose not in {"mine", "free"}),
        total=work.total,
        pages=work.pages,
        number=number,
        seen=_seen(work.rows),
    )


def _card(row: WorkRow, person_id: str, now: datetime) -> Card:
    step, due = row.step, row.step.deadline.due
    whose = "mine" if step.owner == person_id else "free" if step.owner == step.role else step.owner
    today = due.astimezone(LONDON).date() <= now.astimezone(LONDON).date()
    return Card(row, whose, row.breached_at is not None or due < now, today)


def _seen(rows: Sequence[WorkRow]) -> str:
    told = [[row.case_id, row.step.step_id, row.step.owner, str(row.step.deadline.due)] for row in rows]
    return digest(canonical(told))[:16]


def _done(case_id: str, jti: str) -> Mapping[str, str]:
    """Where the proof of what was just done is, if the address names something that looks like one."""
    try:
        return {"link": f"{case_url(case_id)}?act={UUID(jti)}"} if case_id else {}
    except ValueError:
        return {}
