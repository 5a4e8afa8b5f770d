import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from temporalio.api.common.v1 import Payload
from temporalio.contrib.pydantic import pydantic_data_converter

from domain.acts_arrived import LONGEST_ID, claimed, claimed_kind, claimed_step, read
from domain.messages import ClientMessage, Fact, FactKind, SignedAct, Unreadable

NAMES = st.sampled_from(["act", "client_replied", "event"]) | st.text(max_size=12)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["body", "payload", "signature", "event_id", "kind", "x"]), inner, max_size=5)
    ),
    max_leaves=8,
)


def decoder(payload: Payload) -> Callable[[type[Any]], Any]:
    return lambda model: pydantic_data_converter.payload_converter.from_payload(payload, model)


def a_payload(data: bytes, encoding: bytes = b"json/plain") -> Payload:
    return Payload(metadata={"encoding": encoding}, data=data)


def act(**said: object) -> SignedAct:
    usual = {"case_id": "c", "workflow_id": "c", "step_id": "ask", "kind": "step.done"}
    return SignedAct(body=json.dumps(usual | said), signature="s")


@given(NAMES, st.integers(0, 4), st.binary(max_size=200), st.sampled_from([b"json/plain", b"binary/null", b"x", b""]))
@example("act", 1, b'{"body": "\\ud800", "signature": ""}', b"json/plain")
@example("act", 1, b"[" * 100_000, b"json/plain")
@example("event", 1, b"null", b"json/plain")
def test_no_bytes_and_no_number_of_arguments_raise(name: str, arguments: int, data: bytes, encoding: bytes) -> None:
    read(name, arguments, decoder(a_payload(data, encoding)))


@given(NAMES, JSON)
def test_whatever_json_arrives_is_a_message_or_says_why_it_is_none(name: str, value: Any) -> None:
    found = read(name, 1, decoder(a_payload(json.dumps(value).encode())))
    if isinstance(found, Unreadable):
        assert found.signal in {"unknown signal", name}
        assert found.why


@pytest.mark.parametrize("error", [ValueError, RuntimeError, RecursionError, MemoryError, UnicodeDecodeError])
def test_whatever_a_converter_raises_is_caught(error: type[Exception]) -> None:
    def fails(_: type[Any]) -> Any:
        raise error("utf-8", b"", 0, 1, "x") if error is UnicodeDecodeError else error

    assert read("act", 1, fails) == Unreadable(signal="act", why="its bytes could not be decoded")


@pytest.mark.parametrize(
    ("name", "given_", "why"),
    [
        ("acts", {}, "no signal of a case has this name"),
        ("act", None, "its argument is not of the documented form"),
        ("act", "approved", "its argument is not of the documented form"),
        ("act", {"body": "x" * 64_001, "signature": "s"}, "its argument is not of the documented form"),
        ("event", {"event_id": "e", "kind": "invented"}, "its argument is not of the documented form"),
        ("event", {"event_id": "e", "kind": "bounced", "reference": "a\0b"}, "its ids are no ids"),
        ("event", {"event_id": "e" * (LONGEST_ID + 1), "kind": "joined"}, "its ids are no ids"),
        ("client_replied", {"event_id": "\0"}, "its ids are no ids"),
    ],
)
def test_why_something_is_no_message(name: str, given_: object, why: str) -> None:
    found = read(name, 1, decoder(a_payload(json.dumps(given_).encode())))
    assert isinstance(found, Unreadable)
    assert found.why == why


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("act", SignedAct(body="{}", payload="{}", signature="s")),
        ("client_replied", ClientMessage(event_id="e" * LONGEST_ID, inbox_id=3)),
        ("event", Fact(event_id="e", kind=FactKind.RESUMED)),
    ],
)
def test_a_message_comes_as_it_was_sent(name: str, message: SignedAct | ClientMessage | Fact) -> None:
    data = message.model_dump(mode="json") | {"of_a_later_version": 1}
    assert read(name, 1, decoder(a_payload(json.dumps(data).encode()))) == message


@pytest.mark.parametrize("arguments", [0, 2, 7])
def test_any_other_number_of_arguments_is_none(arguments: int) -> None:
    found = read("act", arguments, lambda _: pytest.fail("it was decoded all the same"))
    assert found == Unreadable(signal="act", why=f"it has {arguments} arguments instead of one")


@given(st.text())
@example("[" * 50_000)
@example('{"step_id": 1}')
def test_any_body_is_a_claim_or_none(body: str) -> None:
    found = claimed(body)
    if found:
        assert json.loads(body)["step_id"] == found.step_id


def test_what_an_act_says_it_is_for() -> None:
    assert (claimed_step(act(), "c", "c"), claimed_kind(act())) == ("ask", "step.done")


@pytest.mark.parametrize("said", [{"case_id": "d"}, {"workflow_id": "c/cycle-2"}])
def test_an_act_for_another_case_or_cycle_is_for_no_step(said: dict[str, str]) -> None:
    assert claimed_step(act(**said), "c", "c") == Unreadable(signal="act", why="it was signed for another case")


@pytest.mark.parametrize("body", ["", "null", "[]", '{"step_id": 1, "kind": 2, "case_id": 3, "workflow_id": 4}'])
def test_a_body_that_is_no_act_is_for_no_step(body: str) -> None:
    found = claimed_step(SignedAct(body=body, signature="s"), "c", "c")
    assert found == Unreadable(signal="act", why="its body is not a signed act")
    assert claimed_kind(SignedAct(body=body, signature="s")) == ""
