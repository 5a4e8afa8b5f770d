"""Evidence handed in with findings: files beside the table, kept sealed, and named by their SHA-256 from then on."""

import asyncio
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from domain.errors import Refused
from starter.client import DirectClient

_SHA256 = re.compile(r"[0-9a-f]{64}")


async def with_evidence(
    client: DirectClient, step: tuple[str, str], found: Sequence[Mapping[str, Any]], folder: Path
) -> list[dict[str, Any]]:
    """The findings with each evidence file (a path from `folder`) kept and replaced by its SHA-256.

    `step` is case id and step id. Raises Refused if a file can't be read or is no evidence.
    """
    files = dict.fromkeys(name for one in found for name in _names(one) if not _SHA256.fullmatch(name))
    contents = {name: await asyncio.to_thread(_content, folder, name) for name in files}
    kept: dict[str, str] = {}
    for name, content in contents.items():
        kept[name] = await client.keep_evidence(*step, content, name=Path(name).name)
    return [{**one, "evidence": [kept.get(name, name) for name in _names(one)]} for one in found]


def _names(finding: Mapping[str, Any]) -> list[str]:
    given = finding.get("evidence", ())
    listed = given.split() if isinstance(given, str) else list(cast("Sequence[object]", given))
    return [str(name) for name in listed]


def _content(folder: Path, name: str) -> bytes:
    try:
        return (folder / name).read_bytes()
    except OSError as error:
        raise Refused("no-such-evidence", f"the evidence {name} can't be read: {error.strerror}") from None
