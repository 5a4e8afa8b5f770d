"""What the documents name is there: files, tests, commands, settings, clauses."""

import re
import tomllib
from pathlib import Path
from types import ModuleType

import pytest
from typer.main import get_command

from domain.sops import department_request_texts as department_request
from domain.sops import return_lead_texts as return_lead
from runtime.settings import Settings
from starter.cli.app import app

_ROOT = Path(__file__).resolve().parents[2]
_PAGES = [_ROOT / "README.md", _ROOT / "ARCHITECTURE.md", *sorted((_ROOT / "docs").rglob("*.md"))]
_MOST_BYTES = 600_000
pages = pytest.mark.parametrize("page", _PAGES, ids=lambda page: page.name)


@pages
def test_every_link_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?://)([^)#]+)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


@pages
def test_every_file_that_is_named_is_there(page: Path) -> None:
    rooms = "activities|adapters|deploy|docs|domain|runtime|samples|simulators|starter|tests|tools|workflows"
    named = re.findall(rf"`((?:{rooms})/[\w./-]+\.\w+)", page.read_text())
    assert [name for name in named if not (_ROOT / name).exists()] == []


@pages
def test_every_test_that_is_named_is_one(page: Path) -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", page.read_text())
    assert [test for path, test in named if f"def {test}(" not in (_ROOT / path).read_text()] == []


@pages
def test_every_command_that_is_shown_is_one(page: Path) -> None:
    shown = re.findall(r"(?m)(?:^ {4,}|`)holdfast ([a-z][a-z-]*)(?: ([a-z][a-z-]*))?", page.read_text())
    commands = vars(get_command(app))["commands"]
    unknown = [
        words
        for words in shown
        if words[0] not in commands or (words[1] and words[1] not in vars(commands[words[0]]).get("commands", words))
    ]
    assert unknown == []


def test_every_setting_that_is_explained_is_one() -> None:
    rows = re.findall(r"(?m)^\| (`HOLDFAST_.*?) \|", (_ROOT / "README.md").read_text())
    named = {name for row in rows for name in re.findall(r"`HOLDFAST_([A-Z_]+)`", row)} - {
        "API_KEY",
        "AS",
        "DEBUG",
        "SERVER",
    }
    assert len(named) > 20
    assert named - {name.upper() for name in Settings.model_fields} == set()


def test_the_defaults_of_all_ports_are_listed() -> None:
    listed = set(re.findall(r"`HOLDFAST_([A-Z_]+_PORT)` \| (\d+)", (_ROOT / "README.md").read_text()))
    fields = {name.upper(): str(field.default) for name, field in Settings.model_fields.items()}
    assert listed == {(name, default) for name, default in fields.items() if name.endswith("_PORT")}


@pytest.mark.parametrize(("area", "name"), [("RL", "return-lead"), ("ID", "department-request")])
def test_each_clause_stands_beside_its_words(area: str, name: str) -> None:
    words = tomllib.loads((_ROOT / "domain" / "sops" / "clauses.toml").read_text())[area]
    page = (_ROOT / "docs" / "sops" / f"{name}.md").read_text()
    assert [
        clause for clause, text in words.items() if clause[-1].isdigit() and f"| {clause} | {text} |" not in page
    ] == []


@pytest.mark.parametrize(("sop", "name"), [(return_lead, "return-lead"), (department_request, "department-request")])
def test_each_instruction_belongs_to_a_step_that_is_listed(sop: ModuleType, name: str) -> None:
    page = (_ROOT / "docs" / "sops" / f"{name}.md").read_text()
    assert [step for step in sop.INSTRUCTIONS if f"`{step}" not in page] == []


def test_pictures_are_small() -> None:
    pictures = sorted((_ROOT / "docs" / "screenshots").glob("*.png"))
    assert pictures
    assert [picture.name for picture in pictures if picture.stat().st_size > _MOST_BYTES] == []
