"""`holdfast calendar` and `holdfast targets` on a real database."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from pydantic import SecretStr
from typer.testing import CliRunner

from domain.errors import Refused
from runtime.local import environment
from runtime.settings import Settings
from starter.cli.app import app
from tests.conftest import Database

Run = Callable[..., Awaitable[str]]
NOW = datetime(2026, 12, 23, 18, tzinfo=ZoneInfo("Europe/London"))


@pytest.fixture
async def run(tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command on the Wednesday before Christmas after work; raises what it would complain of."""
    settings = Settings(
        state_dir=tmp_path, database_url=database.url("owner"), database_url_door=SecretStr(database.url("door"))
    )
    for name, value in environment(settings).items():
        monkeypatch.setenv(name, value)
    await database.shift(NOW - datetime.now(ZoneInfo("UTC")))
    await database.execute("INSERT INTO departments VALUES ('team:content', 'Content', 'content@x.example')")

    async def holdfast(*words: str) -> str:
        done = await asyncio.to_thread(CliRunner().invoke, app, list(words))
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert done.exit_code == 0, done.output
        return done.output

    return holdfast


async def data(run: Run, *words: str) -> Any:
    return json.loads(await run(*words, "--json"))


async def test_a_day_is_closed_and_opened_again(run: Run) -> None:
    assert "opens Thu 24 Dec 2026 09:00" in await run("calendar", "show", "--of", "agency")
    closing = ("calendar", "close", "2026-12-24", "--name", "Christmas Eve", "--from", "13:00", "--as", "otto")
    assert await run(*closing) == "1 closed, 0 as before. It counts for clocks that start from now on.\n"
    assert (await data(run, *closing)) == {"added": 0, "same": 1}
    shown = await run("calendar", "show", "--of", "team:content")
    assert "team:content has no calendar of its own" in shown
    assert "Thu 24 Dec 2026  Christmas Eve from 13:00 until 24:00" in shown
    assert "Fri 25 Dec 2026  Christmas Day" in shown
    assert "counts again" in await run("calendar", "open", "2026-12-24", "--from", "13:00")
    assert "nothing is changed" in await run("calendar", "open", "2026-12-24", "--from", "13:00")
    assert "Christmas Eve" not in await run("calendar", "show", "--of", "agency")


async def test_hours_of_a_team_are_set(run: Run) -> None:
    hours = ("calendar", "set", "--of", "team:content", "--hours", "Mon-Thu 08:00-12:00,13:00-17:00")
    assert "is set from now on" in await run(*hours)
    assert "nothing is changed" in await run(*hours)
    (agency, content) = await data(run, "calendar", "show")
    assert (agency["calendar"], agency["hours"], agency["holidays"]) == ("agency", "Mon-Fri 09:00-17:30", "england")
    assert (content["hours"], content["version"]) == ("Mon-Thu 08:00-12:00,13:00-17:00", 1)
    assert "team:content" in await run("calendar", "show")


async def test_a_year_of_closures_is_imported_or_nothing(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "closures.csv"
    file.write_text("day,name,from,until,calendar\n2026-12-24,Eve,13:00,,\n2026-12-31,Content away,,,team:content\n")
    assert await data(run, "calendar", "import", str(file)) == {"added": 2, "same": 0}
    assert await data(run, "calendar", "import", str(file)) == {"added": 0, "same": 2}
    file.write_text("day,name\n2027-01-04,Away\nsoon,Later\n")
    with pytest.raises(Refused, match="line 3: 'soon' is not a day such as 2026-12-24; nothing was changed"):
        await run("calendar", "import", str(file))
    assert "Away" not in await run("calendar", "show", "--of", "agency")


async def test_a_target_is_set_and_the_rest_of_it_stays(run: Run) -> None:
    await run("targets", "set", "resolved", "--after", "3d", "--clock", "business", "--pause", "client=5d/48h")
    assert "nothing is changed" in await run("targets", "set", "resolved", "--after", "72h")
    shown = {one["target"]["name"]: one["target"] for one in await data(run, "targets", "show")}
    resolved = shown["resolved"]
    assert (resolved["clause"], resolved["clock"], resolved["version"]) == ("CR-5.8", "business", 2)
    assert [one["cause"] for one in resolved["pauses"]] == ["client"]
    await run(
        "targets", "set", "content.draft", "--after", "7d", "--clause", "ID-5", "--warn", "none", "--nudge-at", "80"
    )
    told = " ".join((await run("targets", "show")).split())
    assert "content.draft 1 7 d elapsed 80% (nudges) nobody ID-5" in told
    assert "resolved 2 3 d business 50%, 75%, 90% client for at most 5 d CR-5.8" in told


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("calendar close tomorrow --name x", "'tomorrow' is not a day such as 2026-12-24"),
        ("calendar close 2026-12-24 --name x --from noon", "not a time of day such as 09:00"),
        ("calendar close 2026-12-24 --name x --from 17:00 --until 13:00", "a closure begins before it ends"),
        ("calendar close 2026-12-24 --name x --of team:nobody", "nobody's calendar"),
        ("calendar set", "say what to set"),
        ("calendar set --zone Mars/Base", "not a time zone"),
        ("calendar set --holidays france", "none of england, scotland"),
        ("calendar set --hours Mon", "from when to when"),
        ("targets set resolved", "say what to set"),
        ("targets set nothing --after 4h", "needs --after and --clause"),
        ("targets set resolved --after soon", "not a duration"),
        ("targets set resolved --warn much", "not percentages"),
        ("targets set resolved --pause client=5d", "not a pause such as client=5d/48h"),
        ("targets set resolved --pause weather=5d/48h", "none of client, third-party"),
        ("targets set acknowledge --pause client=5d/48h", "never waits for anybody"),
        ("targets set resolved --clock sundial", "none of elapsed, business"),
    ],
)
async def test_what_can_not_be_is_told_in_one_sentence(run: Run, words: str, said: str) -> None:
    with pytest.raises(Refused, match=said):
        await run(*words.split())
