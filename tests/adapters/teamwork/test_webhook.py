import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.teamwork.webhook import read_webhook
from domain.board import BoardEvent, BoardEventKind
from domain.webhooks import WebhookDoubt, WebhookRefusal
from simulators.teamwork import TeamworkSimulator, teamwork_simulator
from tests.simulators.listening import Listener, listening

SECRETS = ("new-secret", "old-secret")
TASK = json.dumps({"eventCreator": {"id": 21, "firstName": "Zane"}, "task": {"id": 100, "name": "T"}}).encode()


def signed(raw: bytes, secret: str = "new-secret", event: str = "TASK.COMPLETED", **more: str) -> dict[str, str]:
    signature = hmac.new(secret.encode(), raw, hashlib.sha256).hexdigest()
    return {"X-Projects-Event": event, "X-Projects-Signature": signature, "X-Projects-Delivery": "d-1", **more}


def doubt(headers: dict[str, str], raw: bytes, secrets: tuple[str, ...] = SECRETS) -> WebhookDoubt | None:
    read = read_webhook(headers, raw, secrets)
    return read.code if isinstance(read, WebhookRefusal) else None


def test_what_a_webhook_says_of_a_task() -> None:
    assert read_webhook(signed(TASK), TASK, SECRETS) == BoardEvent(
        event_id="d-1", kind=BoardEventKind.TASK_COMPLETED, task_id="100", user_id="21"
    )


def test_either_live_secret_counts_and_a_retired_one_does_not() -> None:
    assert doubt(signed(TASK, "old-secret"), TASK) is None
    assert doubt(signed(TASK, "old-secret"), TASK, ("new-secret",)) is WebhookDoubt.BAD_SIGNATURE


@pytest.mark.parametrize("secrets", [(), ("",), ("", "")])
def test_without_a_secret_nothing_is_believed(secrets: tuple[str, ...]) -> None:
    assert doubt(signed(TASK, ""), TASK, secrets) is WebhookDoubt.NO_SECRET


@pytest.mark.parametrize("signature", ["", " "])
def test_unsigned(signature: str) -> None:
    assert doubt(signed(TASK, **{"X-Projects-Signature": signature}), TASK) is WebhookDoubt.UNSIGNED


@pytest.mark.parametrize("signature", ["0" * 64, "zz", "é" * 64, "sha256=" + "0" * 64])
def test_a_wrong_signature(signature: str) -> None:
    assert doubt(signed(TASK, **{"X-Projects-Signature": signature}), TASK) is WebhookDoubt.BAD_SIGNATURE


def test_one_byte_changed_is_a_wrong_signature() -> None:
    assert doubt(signed(TASK), TASK.replace(b"100", b"101")) is WebhookDoubt.BAD_SIGNATURE
    assert doubt(signed(TASK), TASK + b" ") is WebhookDoubt.BAD_SIGNATURE


def test_headers_are_found_in_any_case() -> None:
    headers = {name.lower(): value for name, value in signed(TASK).items()}
    headers["x-projects-signature"] = headers["x-projects-signature"].upper()
    assert doubt(headers, TASK) is None


@pytest.mark.parametrize(
    ("event", "body"),
    [
        ("TASK.COMPLETED", b""),
        ("TASK.COMPLETED", b"{"),
        ("TASK.COMPLETED", b"[]"),
        ("TASK.COMPLETED", b"null"),
        ("TASK.COMPLETED", b"\xff\xfe"),
        ("TASK.COMPLETED", b"[" * 50_000),
        ("TASK.COMPLETED", b"{}"),
        ("TASK.COMPLETED", b'{"task": {"id": null}}'),
        ("TASK.COMPLETED", b'{"task": {"id": "../1"}}'),
        ("TASK.COMPLETED", b'{"task": {"id": true}}'),
        ("TASK.COMPLETED", b'{"task": {"id": 1e400}}'),
        ("TASK.COMPLETED", b'{"task": []}'),
        ("COMMENT.CREATED", b'{"task": {"id": 1}}'),
        ("COMMENT.CREATED", b'{"comment": {"id": ""}}'),
    ],
)
def test_well_signed_and_malformed_is_a_word_never_an_exception(event: str, body: bytes) -> None:
    assert doubt(signed(body, event=event), body) is WebhookDoubt.MALFORMED


@given(st.binary(max_size=300), st.text(max_size=40), st.text(max_size=80))
def test_whatever_comes_there_is_an_answer(raw: bytes, event: str, signature: str) -> None:
    assert doubt({"X-Projects-Event": event, "X-Projects-Signature": signature}, raw) is not None
    said = read_webhook(signed(raw, event=event), raw, SECRETS)
    assert isinstance(said, BoardEvent | WebhookRefusal)


def test_an_event_of_no_interest_is_said_to_be_one() -> None:
    raw = b'{"milestone": {"id": 4}}'
    said = read_webhook(signed(raw, event="MILESTONE.CREATED"), raw, SECRETS)
    assert isinstance(said, BoardEvent)
    assert (said.kind, said.task_id) == (BoardEventKind.OTHER, "")


def test_a_comment_on_something_else_than_a_task_names_none() -> None:
    raw = b'{"comment": {"id": 4, "objectId": 9, "objectType": "milestone"}}'
    said = read_webhook(signed(raw, event="COMMENT.CREATED"), raw, SECRETS)
    assert isinstance(said, BoardEvent)
    assert (said.comment_id, said.task_id) == ("4", "")


def test_without_a_delivery_id_what_was_said_is_the_id_and_the_event_is_part_of_it() -> None:
    ids = [
        said.event_id
        for headers in (
            signed(TASK, **{"X-Projects-Delivery": ""}),
            signed(TASK, **{"X-Projects-Delivery": "x" * 500}),
            signed(TASK, event="TASK.REOPENED", **{"X-Projects-Delivery": ""}),
        )
        if isinstance(said := read_webhook(headers, TASK, SECRETS), BoardEvent)
    ]
    assert ids[0] == ids[1] != ids[2]
    assert len(ids[0]) == 64


@pytest.fixture
async def listener() -> AsyncIterator[Listener]:
    async with listening() as heard:
        yield heard


EDITS: list[tuple[dict[str, Any], BoardEventKind]] = [
    ({"op": "complete", "task": 100}, BoardEventKind.TASK_COMPLETED),
    ({"op": "reopen", "task": 100}, BoardEventKind.TASK_REOPENED),
    ({"op": "unassign", "task": 100, "user": 21}, BoardEventKind.TASK_UPDATED),
    ({"op": "comment", "task": 100, "body": "Hi"}, BoardEventKind.COMMENT_CREATED),
    ({"op": "create", "tasklistId": 7, "name": "N"}, BoardEventKind.TASK_CREATED),
    ({"op": "move", "task": 100, "tasklistId": 8}, BoardEventKind.OTHER),
    ({"op": "delete", "task": 100}, BoardEventKind.TASK_DELETED),
]


@pytest.mark.parametrize(("edit", "kind"), EDITS)
async def test_what_the_stand_in_sends_of_a_persons_act_is_understood(
    listener: Listener, edit: dict[str, Any], kind: BoardEventKind
) -> None:
    async with teamwork_simulator() as teamwork:
        _seed(teamwork)
        teamwork.hooks.set(url=listener.url, secret="old-secret")
        teamwork.edit(**edit, by=21)
        await teamwork.hooks.idle()
    (heard,) = listener.heard
    said = read_webhook(heard.headers, heard.body, SECRETS)
    assert isinstance(said, BoardEvent)
    assert (said.kind, said.user_id) == (kind, "21")
    assert bool(said.comment_id) is (kind is BoardEventKind.COMMENT_CREATED)
    assert said.task_id


def _seed(teamwork: TeamworkSimulator) -> None:
    teamwork.seed(
        people=[{"id": 21, "firstName": "Zane"}],
        tasklists=[{"id": 7, "name": "[CSM] Tasks"}, {"id": 8, "name": "Inbox"}],
        tasks=[{"id": 100, "tasklistId": 7, "name": "T", "assignees": [21]}],
    )
