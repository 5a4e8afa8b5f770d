"""A process that starts while its database is away waits for it."""

import pytest

from runtime import patience
from runtime.patience import patiently


async def test_what_is_away_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "LONGEST_PAUSE", 0.0)
    asked: list[int] = []

    async def make() -> str:
        asked.append(1)
        if len(asked) == 1:
            raise ConnectionError("away")
        return "here"

    assert await patiently("the database", make, ConnectionError) == "here"
    assert len(asked) == 2


async def test_anything_else_is_raised_at_once() -> None:
    async def make() -> str:
        raise ValueError("a wrong setting")

    with pytest.raises(ValueError, match="a wrong setting"):
        await patiently("the database", make, ConnectionError)
