"""What happened in a case, in words: on the command line and on the pages, by names and in London's time.

The audit line itself stays as it was written: with ids, and in UTC.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime

from pydantic import JsonValue

from adapters.postgres.names import by_name
from adapters.postgres.reader import Line
from domain.case import EventKind
from domain.messages import ActKind, Auth
from domain.rules.hours import in_zone

WORDS = {
    "step.claim": "took the step",
    "step.release": "gave the step back",
    "step.reassign": "gave the step to somebody else",
    "step.move": "moved the deadline",
    "step.done": "said it is done",
    "step.waive": "waived it",
    "step.resend": "had it tried again",
    "return.triage": "looked at the request",
    "return.findings": "handed in findings",
    "return.confirm": "confirmed the settlement",
    "return.reduce": "took leads out",
    "return.taken_off": "took leads off the draft invoice",
    "return.authorise": "authorised the credit notes",
    "return.decline": "declined the credit notes",
    "return.allocated": "allocated the credit",
    "return.approve": "approved",
    "return.reject": "rejected",
    "return.ask_back": "asked back",
    "return.withdraw": "withdrew the approval",
    "return.mark": "marked the client's reply",
    "return.decided": "decided the dispute",
    "request.route": "said which department it is for",
    "request.estimate": "said how long it takes",
    "request.done": "said that it is done",
}
_PROVEN = {Auth.LOCAL: "on the command line", Auth.OIDC: "signed in"}
_SAID = {"no-chat": "it has no chat"}
_BY_PEOPLE = {EventKind.ACT_ACCEPTED, EventKind.OPENED, EventKind.CHASED, EventKind.MOVED, EventKind.CLOSED}
_UTC = re.compile(r"(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) )?(\d\d [A-Z][a-z]{2} \d{4}|\d{4}-\d\d-\d\d),? (\d\d:\d\d) UTC")


def told(line: Line, names: Mapping[str, str]) -> str:
    """One event, with people and departments by their names."""
    words = line.text or line.kind.replace(".", " ")
    if line.kind == EventKind.ACT_ACCEPTED and line.data:
        words = f"{names.get(line.actor, line.actor)} {did(str(line.data.get('kind', '')))}{_result(line.data)}"
    if line.kind == EventKind.ACT_REFUSED:
        words = f"Refused, and nothing follows from it: {words}"
    if line.kind == EventKind.OPENED:
        words = _opened(words)
    if line.kind.startswith("effect."):
        words += _became(line)
    known = names if line.kind in _BY_PEOPLE else {name: called for name, called in names.items() if ":" in name}
    return first_letter(in_london(by_name(words, known)))


def who_did(line: Line, names: Mapping[str, str]) -> str:
    return names.get(line.actor, line.actor) or "Holdfast"


def did(kind: str) -> str:
    """What somebody did by an act of this kind, in words that follow a name."""
    return WORDS.get(kind, plain(kind))


def plain(word: object) -> str:
    """A word of ours for machines, as people write it."""
    return str(word).replace("-", " ").replace("_", " ")


def kind_in_words(kind: str) -> str:
    """`DepartmentRequest` is a department request."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", kind).capitalize()


def first_letter(words: str) -> str:
    """Begins as a sentence does; the rest stays as it is."""
    return words[:1].upper() + words[1:]


def in_london(words: str) -> str:
    """Every moment that is given in UTC, in London's time, which is named."""
    return _UTC.sub(lambda found: _moment(found[1], found[2]) or found[0], words)


def _moment(day: str, time: str) -> str:
    try:
        return in_zone(datetime.strptime(f"{day} {time}", f"{_form(day)} %H:%M").replace(tzinfo=UTC))
    except ValueError:
        return ""


def _form(day: str) -> str:
    return "%d %b %Y" if " " in day else "%Y-%m-%d"


def _opened(words: str) -> str:
    """Whoever opened it, and how they proved who they are, without our words for machines."""
    for auth, how in _PROVEN.items():
        words = words.replace(f" ({auth})", f", {how}")
    return words.replace(f", {Auth.API_KEY})", ")").replace("by cli:", "by ")


def _result(data: Mapping[str, JsonValue]) -> str:
    """To when a deadline was moved, and to whom a step was given."""
    match data.get("result"):
        case {"due": str(due)} if data.get("kind") == ActKind.MOVE:
            return f" to {in_zone(datetime.fromisoformat(due))}"
        case {"to": str(person)} if data.get("kind") == ActKind.REASSIGN:
            return f": {person}"
        case _:
            return ""


def _became(line: Line) -> str:
    reference, code = str(line.data.get("reference", "")), str(line.data.get("code", ""))
    state = line.kind.removeprefix("effect.")
    more = code if state != "sent" else ("" if "@" in reference else _SAID.get(reference, reference))
    return f": {state}{f' ({more})' if more else ''}"
