"""What happened, in words: names for ids, London's time for UTC, and no word of ours for machines."""

from datetime import UTC, datetime

import pytest
from pydantic import JsonValue

from adapters.postgres.reader import Line
from domain.case import EventKind
from starter.story import in_london, kind_in_words, told, who_did

NAMES = {
    "ivan": "Ivan Hale",
    "P-2": "Tom",
    "leads": "A Person Called Leads",
    "team:return-leads": "Return Lead Team",
    "department:ppc/client": "PPC",
    "role:csm": "the CSM",
}
JULY, NOVEMBER = "Wed 01 Jul 2026", "Sat 28 Nov 2026"


def line(event: str, text: str = "", actor: str = "", **data: JsonValue) -> Line:
    at = datetime(2026, 11, 26, 9, tzinfo=UTC)
    return Line(1, event, "RL-4", "investigate", actor, at, at, text, data)


@pytest.mark.parametrize(
    ("one", "words"),
    [
        (line(EventKind.ASKED, "Asked team:return-leads: findings on leads."),
         "Asked Return Lead Team: findings on leads."),
        (line(EventKind.ASKED, "Asked department:ppc/client: do it."), "Asked PPC: do it."),
        (line(EventKind.CHASED, "Reminded ivan (1)."), "Reminded Ivan Hale (1)."),
        (line(EventKind.OPENED, "Opened by P-2 (oidc)."), "Opened by Tom, signed in."),
        (line(EventKind.OPENED, "Opened by cli:root (local)."), "Opened by root, on the command line."),
        (line(EventKind.OPENED, "Opened by the API key ppc (k1, api_key)."), "Opened by the API key ppc (k1)."),
        (line(EventKind.OPENED, "Opened by the daily sweep."), "Opened by the daily sweep."),
        (line(EventKind.CLOSED, "Closed: done, says ivan."), "Closed: done, says Ivan Hale."),
        (line(EventKind.MOVED, "ivan covers for role:csm."), "Ivan Hale covers for the CSM."),
        (line(EventKind.ACT_ACCEPTED, "ivan signed step.claim.", "ivan", kind="step.claim"), "Ivan Hale took the step"),
        (line(EventKind.ACT_ACCEPTED, "", "ivan", kind="step.move", result={"due": "2026-12-05T17:00:00Z"}),
         "Ivan Hale moved the deadline to Sat 05 Dec 2026, 17:00 London time"),
        (line(EventKind.ACT_ACCEPTED, "", "P-2", kind="step.reassign", result={"to": "ivan"}),
         "Tom gave the step to somebody else: Ivan Hale"),
        (line(EventKind.ACT_REFUSED, "It was sent twice."), "Refused, and nothing follows from it: It was sent twice."),
        (line(EventKind.EFFECT_SENT, "answer to the client", reference="<1@x>"), "Answer to the client: sent"),
        (line(EventKind.EFFECT_FAILED, "draft credit note", code="down"), "Draft credit note: failed (down)"),
    ],
)  # fmt: skip
def test_an_event_is_told_by_names(one: Line, words: str) -> None:
    assert told(one, NAMES) == words


@pytest.mark.parametrize(
    ("said", "read"),
    [
        (f"Promise: resolved by {NOVEMBER} 04:45 UTC.", f"Promise: resolved by {NOVEMBER}, 04:45 London time."),
        ("Due 2026-07-01 04:45 UTC and not done.", f"Due {JULY}, 05:45 London time and not done."),
        (f"moved from {JULY}, 23:30 UTC to 2026-07-02", "moved from Thu 02 Jul 2026, 00:30 London time to 2026-07-02"),
        ("99 Xyz 2026 04:45 UTC", "99 Xyz 2026 04:45 UTC"),
        ("at 04:45 UTC, who knows when", "at 04:45 UTC, who knows when"),
    ],
)
def test_moments_are_read_in_london(said: str, read: str) -> None:
    assert in_london(said) == read


def test_who_did_it_is_somebody_or_holdfast() -> None:
    assert [who_did(line("opened", actor=one), NAMES) for one in ("ivan", "gone", "")] == [
        "Ivan Hale",
        "gone",
        "Holdfast",
    ]


def test_a_kind_of_case_is_said_in_words() -> None:
    assert [kind_in_words(one) for one in ("ReturnLead", "DepartmentRequest")] == ["Return lead", "Department request"]
