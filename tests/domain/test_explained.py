from datetime import timedelta

from domain.case import Deadline, Move
from domain.explained import Explained, lines, of_clock, of_deadline
from domain.rules.clock import Cause, ClockKind, PauseRule, SegmentKind, Target
from domain.rules.running_clock import Clock, advance, hold, meet, pause, resume, start
from tests.domain.rules.calendars import AGENCY, LONDON, at

HOUR = timedelta(hours=1)
NOW = at("2026-12-24 16:00")
MOVE = Move(before=at("2026-11-27 10:00"), after=at("2026-11-28 10:00"), by="P-1", why="too long")
TARGET = Target(
    name="resolved",
    clause="CR-5.8",
    after=4 * HOUR,
    clock=ClockKind.BUSINESS,
    pauses=(PauseRule(cause=Cause.CLIENT, longest=timedelta(days=5)),),
)


def told(explained: Explained) -> list[str]:
    return list(lines(explained, LONDON, {"team:content": "Content", "P-1": "Zane"}))


def clock() -> Clock:
    return hold(start("resolved", TARGET, NOW, AGENCY), "team:content", NOW)


def test_every_stretch_of_a_deadline_over_christmas_is_told_and_they_add_up() -> None:
    assert told(of_clock(clock(), NOW)) == [
        "Thu 24 Dec 2026 16:00 to Thu 24 Dec 2026 17:30: 1 h 30 min run",
        "Thu 24 Dec 2026 17:30 to Fri 25 Dec 2026 00:00: stands still 6 h 30 min: out of hours",
        "Fri 25 Dec 2026 00:00 to Sat 26 Dec 2026 00:00: stands still 24 h: Christmas Day (public holiday)",
        "Sat 26 Dec 2026 00:00 to Mon 28 Dec 2026 00:00: stands still 48 h: out of hours",
        "Mon 28 Dec 2026 00:00 to Tue 29 Dec 2026 00:00: stands still 24 h: Boxing Day (observed) (public holiday)",
        "Tue 29 Dec 2026 00:00 to Tue 29 Dec 2026 09:00: stands still 9 h: out of hours",
        "Tue 29 Dec 2026 09:00 to Tue 29 Dec 2026 11:30: 2 h 30 min run",
        "1 h 30 min + 2 h 30 min = 4 h: due Tue 29 Dec 2026 11:30 (CR-5.8)",
    ]


def test_a_pause_names_whom_it_waits_for_and_who_says_so() -> None:
    waited = resume(pause(clock(), Cause.CLIENT, NOW + HOUR, "P-1"), NOW + 90 * HOUR + 24 * HOUR)
    said = told(of_clock(waited, NOW))
    assert said[1].endswith("stands still 4 d 17 h: the client is waited for, says Zane")
    assert "promised at first: Tue 29 Dec 2026 11:30" in said


def test_a_breach_says_how_late_and_in_whose_hands() -> None:
    broken, _ = advance(clock(), at("2026-12-29 11:30"))
    late = meet(broken, at("2026-12-29 13:00"))
    assert told(of_clock(late, NOW))[-3:] == [
        "not met by Tue 29 Dec 2026 11:30: 1 h 30 min late",
        "met Tue 29 Dec 2026 13:00",
        "held by Content 5 h 30 min",
    ]


def test_what_is_met_in_time_ends_when_it_was_met() -> None:
    said = told(of_clock(meet(clock(), NOW + HOUR), NOW + 9 * HOUR))
    assert said == [
        "Thu 24 Dec 2026 16:00 to Thu 24 Dec 2026 17:00: 1 h run",
        "1 h of 4 h used: due Tue 29 Dec 2026 11:30 (CR-5.8)",
        "met Thu 24 Dec 2026 17:00, in time",
        "held by Content 1 h",
    ]


def test_an_edited_policy_is_shown_beside_the_promise() -> None:
    longer = TARGET.model_copy(update={"after": 6 * HOUR, "version": 2})
    said = told(of_clock(clock(), NOW, longer, AGENCY))
    assert said[-1] == "by the rules of today it would be due Tue 29 Dec 2026 13:30: the promise stays"
    assert "due Tue 29 Dec 2026 11:30" in said[-2]


def test_the_deadline_of_a_step_is_all_of_its_time_and_what_a_move_added() -> None:
    since = at("2026-11-25 10:00")
    deadline = Deadline(label="draft is due", clause="ID-5", since=since, after=48 * HOUR, due=since + 48 * HOUR)
    (one,) = of_deadline("draft", deadline).segments
    assert (one.kind, one.length) == (SegmentKind.RAN, 48 * HOUR)
    later = deadline.model_copy(update={"due": since + 72 * HOUR, "moved": (MOVE,)})
    assert told(of_deadline("draft", later)) == [
        "Wed 25 Nov 2026 10:00 to Fri 27 Nov 2026 10:00: 48 h run",
        "Fri 27 Nov 2026 10:00 to Sat 28 Nov 2026 10:00: 24 h added by a move",
        "48 h + 24 h = 3 d: due Sat 28 Nov 2026 10:00 (ID-5)",
        "moved from Fri 27 Nov 2026, 10:00 London time to Sat 28 Nov 2026, 10:00 London time by Zane: too long",
    ]
    earlier = of_deadline("draft", deadline.model_copy(update={"due": since + 24 * HOUR}))
    assert sum((one.length for one in earlier.segments), timedelta()) == earlier.due - earlier.since
