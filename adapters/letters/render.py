"""Fills in the SOP's texts. Templates are ours; whatever came from outside is a value, never source."""

from collections.abc import Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Any

from jinja2 import StrictUndefined, Template
from jinja2.sandbox import ImmutableSandboxedEnvironment

from domain.mail import readable


def _money(amount: Decimal, currency: str) -> str:
    return f"{currency} {amount:,.2f}"


def _notes(count: int) -> str:
    return "a credit note" if count == 1 else f"{count} credit notes"


def _environment() -> ImmutableSandboxedEnvironment:
    made = ImmutableSandboxedEnvironment(
        undefined=StrictUndefined,
        autoescape=False,  # plain text: escaping would change the words
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    filters: dict[str, Any] = made.filters
    filters |= {"money": _money, "notes": _notes}
    return made


_ENVIRONMENT = _environment()


@lru_cache(maxsize=256)
def _compiled(source: str) -> Template:
    return _ENVIRONMENT.from_string(source)


def fill_in(source: str, values: Mapping[str, object]) -> str:
    """The text with its values, without empty lines in a row. Raises jinja2.UndefinedError if a value is missing."""
    text = readable(_compiled(source).render(values))
    lines: list[str] = []
    for line in text.splitlines():
        if line.strip() or (lines and lines[-1]):
            lines.append(line.rstrip())
    return "\n".join(lines).strip("\n") + "\n"


def subject_line(source: str, values: Mapping[str, object]) -> str:
    """The same for a subject: one line."""
    return " ".join(fill_in(source, values).split())
