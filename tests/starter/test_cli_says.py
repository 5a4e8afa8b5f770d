"""What the command line says, without anything behind it."""

import json
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from pydantic import JsonValue

from runtime.settings import Settings
from starter.cli.ops import print_up
from starter.cli.policy import ordered
from starter.cli.world import explain, plain, several


def test_one_is_not_several() -> None:
    assert [several(count, "open case") for count in (0, 1, 2)] == ["0 open cases", "1 open case", "2 open cases"]
    assert several(2, "case tries again", "cases try again") == "2 cases try again"


def test_moments_and_days_are_iso_8601_in_json() -> None:
    data = {"at": datetime(2026, 11, 26, 4, 45, tzinfo=UTC), "on": date(2026, 11, 26)}
    assert json.dumps(plain([data])) == '[{"at": "2026-11-26T04:45:00+00:00", "on": "2026-11-26"}]'


def test_whoever_starts_without_a_list_of_money_people_is_told_what_follows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = Settings(state_dir=tmp_path)
    print_up(settings.model_copy(update={"money_people": None}))
    assert "nobody may sign for Accounts" in capsys.readouterr().out
    print_up(settings.model_copy(update={"money_people": tmp_path / "people.toml"}))
    assert "nobody may sign" not in capsys.readouterr().out


@pytest.mark.parametrize("error", [TimeoutError(), OSError(), RuntimeError(), ValueError("x")])
def test_nothing_that_goes_wrong_is_told_by_an_empty_line(error: Exception) -> None:
    assert explain(error).strip()


def test_an_order_is_said_without_the_brackets_of_json() -> None:
    price: JsonValue = {"lead_id": "L-1001", "price": {"amount": "66.00", "currency": "GBP"}}
    assert ordered({"prices": [price, price]}) == "L-1001 66.00 GBP, L-1001 66.00 GBP"
