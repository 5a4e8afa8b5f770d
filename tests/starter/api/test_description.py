"""The API against its own description: what it says is what is there, whatever is sent."""

import asyncio
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from secrets import token_hex

import pytest

from starter.api.app import document, written
from starter.client import case_path
from starter.openings import OPENINGS
from tests.starter.api.office import ApiOffice
from tests.starter.api.test_cases import opened

ROOT = Path(__file__).parents[3]
# That data of the right form is accepted: whether a client, a lead or a cursor is there, is no matter of form.
WITHIN_THE_TABLES = "positive_data_acceptance"
EXAMPLES = "12"
AIMLESS = "tests.starter.api.untargeted"
KEPT = ROOT / "docs" / "api" / "openapi.json"


def test_the_description_that_is_kept_is_the_present_one() -> None:
    """`python -m starter.api.app > docs/api/openapi.json` renews it."""
    assert KEPT.read_text() == written()


def test_every_way_to_start_and_every_error_is_described() -> None:
    said = document()
    assert said["openapi"].startswith("3.1")
    for slug, opening in OPENINGS.items():
        start = said["paths"][f"/api/v1/cases/{slug}"]["post"]
        schema = start["requestBody"]["content"]["application/json"]["schema"]
        assert schema == {"$ref": f"#/components/schemas/{opening.request.__name__}"}
        assert said["components"]["schemas"][opening.request.__name__]["additionalProperties"] is False
        assert {"200", "201", "400", "401", "403", "409", "413", "415", "422", "429", "503"} <= set(start["responses"])
    assert "HTTPValidationError" not in json.dumps(said)


def test_every_sop_that_is_documented_is_started_over_http() -> None:
    told = {page.stem for page in (ROOT / "docs" / "sops").glob("*.md")}
    assert told == {re.sub(r"(?<!^)(?=[A-Z])", "-", one.kind).lower() for one in OPENINGS.values()}
    assert {f"/api/v1/cases/{slug}" for slug in OPENINGS} <= set(document()["paths"])


def operations() -> int:
    return sum(len(methods) for methods in document()["paths"].values())


# Longer than any address that is needed: refused with what HTTP has for that, which schemathesis does not reckon with.
REFUSING = """[checks.negative_data_rejection]
expected-statuses = [400, 401, 403, 404, 405, 409, 413, 414, 415, 422, 429, "5xx"]
"""


async def fuzzed(api: ApiOffice, folder: Path, *bound: str, most: float) -> str:
    """Runs schemathesis as a process of its own against the real API, for `most` seconds; returns what it says."""
    key = await api.key(per_minute=60_000)
    case_id = await opened(api, "L-1001", "L-1002")
    described = folder / "openapi.json"
    described.write_text(written().replace("return-lead~1e197f5c04326aab", case_path(case_id)))
    (folder / "schemathesis.toml").write_text(REFUSING)
    words = [
        "run", str(described), "--url", api.address, "--header", f"Authorization: Bearer {key.token}", *bound,
        "--checks", "all", "--exclude-checks", WITHIN_THE_TABLES, "--workers", "2", "--no-color",
        "--request-timeout", "20", "--suppress-health-check", "all",
        "--seed", os.environ.get("HOLDFAST_SEED", "20261125"),
    ]  # fmt: skip
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-m", "schemathesis.cli", *words], cwd=folder, capture_output=True, text=True,
        timeout=most, check=False, env={**os.environ, "PYTHONPATH": str(ROOT), "SCHEMATHESIS_HOOKS": AIMLESS},
    )  # fmt: skip
    (folder / f"said-{token_hex(2)}.txt").write_text(done.stdout + done.stderr)
    assert done.returncode == 0, done.stdout[-12_000:] + done.stderr[-2_000:]
    return done.stdout


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_nothing_that_is_sent_breaks_it_or_its_description(api: ApiOffice, tmp_path: Path) -> None:
    """A fixed seed and number of examples, the same on every machine; HOLDFAST_SEED tries another one."""
    said = await fuzzed(api, tmp_path, "--max-examples", EXAMPLES, most=240)
    assert f"Tested: {operations()}" in said


@pytest.mark.long
@pytest.mark.timeout(3000)
async def test_nothing_that_is_sent_for_long_breaks_it(api: ApiOffice, tmp_path: Path) -> None:
    """Ten minutes; HOLDFAST_SECONDS says otherwise."""
    seconds = os.environ.get("HOLDFAST_SECONDS", "600")
    assert f"Tested: {operations()}" in await fuzzed(api, tmp_path, "--max-time", seconds, most=float(seconds) * 3 + 60)
