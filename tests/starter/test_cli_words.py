"""What `--help` says of every command."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from typer.core import TyperGroup

from starter.cli.app import app
from starter.cli.words import in_words


def every(command: Any, *path: str) -> Iterator[tuple[str, Any]]:
    yield " ".join(path), command
    if isinstance(command, TyperGroup):
        for name, below in command.commands.items():
            yield from every(below, *path, name)


COMMANDS = dict(every(in_words(typer.main.get_command(app)), "holdfast"))
LISTS = [path for path in COMMANDS if path.split()[-1] in {"list", "show", "away", "status", "doctor", "verify"}]


@pytest.mark.parametrize("path", COMMANDS)
def test_the_help_of_a_command_is_whole_and_in_words(path: str) -> None:
    said = COMMANDS[path].get_help(typer.Context(COMMANDS[path], info_name=path, terminal_width=80))
    assert not re.search(r"<(str|int|list|path|float|choice)", said), said
    listed = said.partition("Commands:")[2]
    assert "..." not in listed, listed


@pytest.mark.parametrize("path", LISTS)
def test_whatever_lists_or_shows_answers_in_json_too(path: str) -> None:
    assert "--json" in {name for one in COMMANDS[path].params for name in one.opts}


@pytest.mark.parametrize("path", ["holdfast return-lead open", "holdfast request open", "holdfast case start"])
def test_whoever_opens_a_case_says_who_they_are(path: str) -> None:
    assert "--as" in {name for one in COMMANDS[path].params for name in one.opts}
