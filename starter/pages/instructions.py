"""A step's instructions as a page shows them: numbered, and without the command line's lines among them."""

import re
from dataclasses import dataclass, field

_ELSEWHERE, _POINTER = "On the command line", "See everything about it first:"
_NUMBERED = re.compile(r"^(\d+)\. (.*)")
_COMMAND = re.compile(r"^\s+(holdfast .*)")
_LISTED = re.compile(r"^  \S")
_NESTED = re.compile(r"^    \S")


@dataclass
class Block:
    """A paragraph, or one numbered thing to do (`number` > 0), with what is listed below it."""

    text: str = ""
    number: int = 0
    items: list[str] = field(default_factory=list[str])


@dataclass
class Instructions:
    blocks: list[Block] = field(default_factory=list[Block])
    commands: list[str] = field(default_factory=list[str])


def read_instructions(text: str) -> Instructions:
    found, fresh = Instructions(), True
    for line in text.splitlines():
        command, numbered, listed = _COMMAND.match(line), _NUMBERED.match(line), _LISTED.match(line)
        if command:
            found.commands.append(command.group(1))
            _ended(found)
        elif numbered:
            found.blocks.append(Block(numbered.group(2), int(numbered.group(1))))
        elif found.blocks and (listed or (_NESTED.match(line) and found.blocks[-1].items)):
            found.blocks[-1].items.append(line.strip())
        elif line.strip():
            _go_on(found, line, fresh=fresh)
        fresh = not line.strip() or bool(command)
    for block in found.blocks:
        block.text = block.text.partition(_ELSEWHERE)[0].replace(_POINTER, "").rstrip()
        block.text = re.sub(r":$", "." if block.number else ":", block.text)
    return found


def _ended(found: Instructions) -> None:
    """What led up to a command stands on its own without it."""
    if found.blocks and not found.blocks[-1].text.endswith(_POINTER):
        found.blocks[-1].text = re.sub(r":$", ".", found.blocks[-1].text)


def _go_on(found: Instructions, line: str, *, fresh: bool) -> None:
    indented = line.startswith("   ")
    if found.blocks and (indented or not fresh):
        found.blocks[-1].text = f"{found.blocks[-1].text} {line.strip()}"
    else:
        found.blocks.append(Block(line.strip()))
