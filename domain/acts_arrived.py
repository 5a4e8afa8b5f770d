"""What a signal turned out to be. Total: nothing that arrives can raise."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from domain.messages import ClientMessage, Fact, SignedAct, Unreadable

Arrived = SignedAct | ClientMessage | Fact | Unreadable
LONGEST_ID = 500
MODELS: dict[str, type[SignedAct] | type[ClientMessage] | type[Fact]] = {
    "act": SignedAct,
    "client_replied": ClientMessage,
    "event": Fact,
}


def read(name: str, arguments: int, decode: Callable[[type[Any]], Any]) -> Arrived:
    """The message in a signal, or why there is none.

    `decode` turns its one argument into a model and may raise anything.
    """
    if name not in MODELS:
        return Unreadable(signal="unknown signal", why="no signal of a case has this name")
    if arguments != 1:
        return Unreadable(signal=name, why=f"it has {arguments} arguments instead of one")
    try:
        found = decode(MODELS[name])
    except ValidationError:
        return Unreadable(signal=name, why="its argument is not of the documented form")
    except Exception:  # noqa: BLE001  a converter may raise anything on bytes it was not made for
        return Unreadable(signal=name, why="its bytes could not be decoded")
    if not isinstance(found, MODELS[name]):
        return Unreadable(signal=name, why="its argument is empty")
    return found if _storable(found) else Unreadable(signal=name, why="its ids are no ids")


def _storable(found: SignedAct | ClientMessage | Fact) -> bool:
    """Ids are kept, shown and handed over at continue-as-new: of bounded length, and nothing a database refuses."""
    ids = () if isinstance(found, SignedAct) else (found.event_id, getattr(found, "reference", ""))
    return all(len(one) <= LONGEST_ID and "\0" not in one for one in ids)


class Claimed(BaseModel):
    """What an act says of itself. Only a hint for routing: nothing is believed before its signature is checked."""

    model_config = ConfigDict(frozen=True, strict=True)
    step_id: str
    kind: str
    case_id: str
    workflow_id: str


@lru_cache(maxsize=4_096)
def claimed(body: str) -> Claimed | None:
    """What the body of an act says, or None if it is not one."""
    try:
        return Claimed.model_validate_json(body)
    except (ValidationError, RecursionError):
        return None


def claimed_step(act: SignedAct, case_id: str, workflow_id: str) -> str | Unreadable:
    """The step an act says it is for, or why it can't be for this case."""
    said = claimed(act.body)
    if said is None:
        return Unreadable(signal="act", why="its body is not a signed act")
    if (said.case_id, said.workflow_id) != (case_id, workflow_id):
        return Unreadable(signal="act", why="it was signed for another case")
    return said.step_id


def claimed_kind(act: SignedAct) -> str:
    """The kind an act says it is; "" if it says none."""
    said = claimed(act.body)
    return said.kind if said else ""
