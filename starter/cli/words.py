"""What `--help` says: whole sentences, and a word for what an option takes, not the type that Python reads it as."""

from enum import Enum
from inspect import isclass
from typing import Any, get_args

from typer.core import TyperGroup

_NAMED = {
    "allow": "ADDRESS",
    "anchor": "FILE",
    "contact": "PERSON",
    "decided": "FILE",
    "evidence": "FILE",
    "findings": "FILE",
    "on": "DAY",
    "only": "SERVICE",
    "owner": "PERSON",
    "reduce": "FILE",
    "since": "DAY",
}


def in_words(command: Any) -> Any:
    """The command and all below it; each is one of Typer's own."""
    for one in command.params:
        if one.metavar is None and not getattr(one, "is_flag", False):
            one.metavar = _word(one)
        if one.param_type_name == "argument":
            one.display_type_rich = _unsaid
    if isinstance(command, TyperGroup):
        for below in command.commands.values():
            below.short_help = below.short_help or _first_sentence(below.help or "")
            in_words(below)
    return command


def _unsaid(**_: object) -> None:
    """An argument's type is not said: its name and its help say it."""


def _word(one: Any) -> str:
    name = max(one.opts, key=len).lstrip("-")
    for kind in (one.type_descriptor.annotation, *get_args(one.type_descriptor.annotation)):
        if isclass(kind) and issubclass(kind, Enum):
            return "|".join(str(choice.value) for choice in kind)
    return _NAMED.get(name) or name.upper().replace("_", "-")


def _first_sentence(text: str) -> str:
    """Of a help text, on one line, without its full stop."""
    words = " ".join(text.partition("\n\n")[0].split())
    return words.partition(". ")[0].removesuffix(".")
