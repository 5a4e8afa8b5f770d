"""Taking in what was started in Temporal itself: the door's own checks, and why a start is turned away."""

from pydantic import JsonValue

from domain.case import Model

TURNED_AWAY: dict[str, str] = {
    "unknown-case": "No door took this case in. Start it with `opening`, or from Holdfast.",
    "another-workflow": "The case has another workflow: a case is never run twice.",
    "another-request": "What this was started with is not what the door took in.",
    "case-ended": "The case has ended. What comes for it opens a linked case.",
    "wrong-id": "A workflow has the id of its case, which follows from the request's reference.",
    "unknown-kind": "No door opens workflows of this kind.",
}


class AdmitStart(Model):
    """`opening` is the request exactly as the door takes it from outside."""

    kind: str
    workflow_id: str
    opening: dict[str, JsonValue]


class Admitted(Model):
    """`request` is the input that the door made, if it took it in; else `code` and `sentence` say why not."""

    request: dict[str, JsonValue] | None = None
    code: str = ""
    sentence: str = ""
