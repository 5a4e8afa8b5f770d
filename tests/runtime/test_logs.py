import io
import json
import logging
from collections.abc import Generator
from typing import Any

import pytest
import structlog
from temporalio.worker import Worker

from runtime.connect import connect
from runtime.logs import configure_logging
from runtime.settings import Settings
from runtime.temporal_server import temporal_server
from tests.runtime.sample_workflows import Listens, Word


@pytest.fixture
def log() -> Generator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()


def _lines(log: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.getvalue().splitlines()]


def test_our_lines_and_others_have_one_shape(log: io.StringIO) -> None:
    configure_logging("json", process="inbox", stream=log)
    structlog.get_logger("ours").info("mail taken in", size=12)
    logging.getLogger("theirs").warning("odd %s", "thing", extra={"size": 13})
    ours, theirs = _lines(log)
    assert (ours["event"], ours["size"], ours["logger"], ours["level"]) == ("mail taken in", 12, "ours", "info")
    assert (theirs["event"], theirs["size"], theirs["process"]) == ("odd thing", 13, "inbox")
    assert ours["timestamp"].endswith("Z")


def test_a_person_may_read_it_too(log: io.StringIO) -> None:
    configure_logging("console", stream=log)
    structlog.get_logger("ours").info("mail taken in", size=12)
    assert "mail taken in" in log.getvalue()
    assert "{" not in log.getvalue()


def test_a_refused_value_is_not_quoted(log: io.StringIO) -> None:
    configure_logging("json", stream=log)
    words = json.loads('{"number": "jane@client.example"}')
    try:
        Word.model_validate(words)
    except ValueError:
        structlog.get_logger().exception("refused")
    line = _lines(log)[0]
    assert "jane" not in log.getvalue()
    assert "input_value=[redacted], input_type=str" in line["exception"]


async def test_workflows_log_with_their_facts_and_without_what_they_could_not_decode(log: io.StringIO) -> None:
    configure_logging("json", stream=log)
    async with temporal_server() as server:
        client = await connect(Settings(), address=server.address)
        async with Worker(client, task_queue="listens", workflows=[Listens]):
            handle = await client.start_workflow(Listens.run, id="listens", task_queue="listens")
            await handle.signal("say", {"number": "jane@client.example"})
            await handle.signal(Listens.say, Word(number=3))
            assert await handle.result() == 3
    lines = _lines(log)
    waiting = next(line for line in lines if line["event"] == "waiting for a word")
    assert waiting["clause"] == "RL-0"
    assert waiting["temporal_workflow"]["workflow_id"] == "listens"
    dropped = next(line for line in lines if line["event"].startswith("Failed deserializing signal input for say"))
    assert dropped["error_type"] != ""
    assert "jane" not in log.getvalue()
