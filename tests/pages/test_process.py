"""The pages and the stand-in of the identity provider as processes of their own, as `holdfast up` starts them."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from runtime.processes import accepts_connections, free_port
from runtime.settings import Settings
from starter.handover import Handover
from starter.pages.render import case_url, step_url
from tests.agency import CLIENT, Agency, eventually
from tests.conftest import Database
from tests.pages.town import Town

PEOPLE = Path(__file__).resolve().parents[2] / "samples" / "people.csv"


@contextmanager
def _process(*words: str, **settings: str) -> Generator[subprocess.Popen[bytes]]:
    env = os.environ | {f"HOLDFAST_{name.upper()}": value for name, value in settings.items()}
    with subprocess.Popen([sys.executable, "-m", *words], env=env, stderr=subprocess.PIPE) as running:
        try:
            yield running
        finally:
            running.kill()


async def _listens(port: int) -> None:
    async def there() -> bool:
        return accepts_connections(port)

    await eventually(there, f"nothing listens at {port}")


async def test_both_processes_sign_somebody_in_and_end_when_told(database: Database, tmp_path: Path) -> None:
    web, idp = str(free_port()), str(free_port())
    await database.execute("INSERT INTO people VALUES ('ivan', 'Ivan Hale', 'ivan@commversion.com', 'local', 'ivan')")
    settings = {"state_dir": str(tmp_path), "web_port": web, "idp_port": idp}
    settings |= {"database_url": database.url("owner"), "database_url_door": database.url("door")}
    with (
        _process("simulators.idp", "--port", idp, "--people", str(PEOPLE)) as provider,
        _process("starter.web", **settings) as pages,
    ):
        await _listens(int(web))
        await _listens(int(idp))
        async with httpx2.AsyncClient(follow_redirects=True) as http:
            asked = await http.get(f"http://127.0.0.1:{web}/login/start")
            assert "Ivan Hale" in asked.text
            assert "My work" in (await http.post(asked.url, data={"sub": "ivan"})).text
        for running in (pages, provider):
            running.send_signal(signal.SIGTERM)
            await asyncio.to_thread(running.wait, 15)


def test_the_pages_do_not_start_in_local_mode_with_a_real_vendor(tmp_path: Path) -> None:
    """Where anybody may sign, nothing real may be reached."""
    settings = {"state_dir": str(tmp_path), "xero_address": "https://xero.example", "xero_token": "real"}
    with _process("starter.web", database_url_door="postgresql://127.0.0.1:1/x", **settings) as pages:
        _, said = pages.communicate(timeout=30)
    assert pages.returncode == 1
    assert b"could not start" in said


def test_production_wants_a_secret_of_its_own(tmp_path: Path) -> None:
    settings = {"state_dir": str(tmp_path), "mode": "production", "approver_issuer": "https://id.example"}
    settings |= {"web_address": "https://holdfast.example", "oidc_issuer": "https://id.example"}
    with _process("starter.web", **settings) as pages:
        _, said = pages.communicate(timeout=30)
    assert b"HOLDFAST_OIDC_CLIENT_SECRET" in said


def test_in_production_people_are_known_by_their_provider() -> None:
    production = Settings(
        mode="production", approver_issuer="https://id.example", oidc_issuer="https://id.example",
        web_address="https://holdfast.example/",
    )  # fmt: skip
    assert (production.people_issuer, production.web_url) == ("https://id.example", "https://holdfast.example")
    assert Settings(oidc_issuer="https://id.example").people_issuer == "https://id.example"
    with pytest.raises(ValueError, match="WEB_ADDRESS"):
        Settings(mode="production", approver_issuer="https://id.example", web_address="http://holdfast.example")


async def test_the_mail_that_asks_names_the_page_where_it_is_done(agency: Agency, town: Town) -> None:
    case_id = await town.opened("L-1001")

    async def asked() -> bool:
        return any(step_url(case_id, "investigate") in mail.get_content() for mail in agency.mails())

    await eventually(asked, "no mail names the page")


async def test_the_temporal_ui_leads_back_to_the_case(agency: Agency, town: Town) -> None:
    handover = Handover(agency.door.intake, agency.client, queue=agency.queue, page_of=town.house.settings.page_of)
    accepted = await agency.door.open_return({"client_id": CLIENT, "leads": ["L-1001"], "reference": "back"})
    await handover.run_once()
    details = await (await agency.handle(accepted.case_id).describe()).static_details()
    assert details == f"[The case in Holdfast]({town.url}{case_url(accepted.case_id)})"
    tom = await town.signed_in("P-2")
    await agency.parked(accepted.case_id, "investigate")
    there = town.house.settings.temporal_ui_url
    assert f"{there}/namespaces/default/workflows/" in (await tom.get(case_url(accepted.case_id))).text
