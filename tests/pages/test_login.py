import re
from datetime import timedelta

import httpx2
import pytest

from starter.pages.login import local_path
from tests.pages.town import Town


async def test_nobody_sees_a_page_without_signing_in(town: Town) -> None:
    visit = town.visit()
    for path in ("/", "/cases", "/accounts", "/audit", "/cases/x/y", "/cases/x/steps/confirm", "/cases/x/evidence/y"):
        answer = await visit.get(path, follow_redirects=False)
        assert answer.status_code == 303
        assert answer.headers["location"].startswith("/login?next=")


async def test_whoever_signs_in_comes_back_to_the_page_they_wanted(town: Town) -> None:
    answer = await town.visit().sign_in("P-1", "/accounts")
    assert (answer.status_code, answer.headers["location"]) == (303, "/accounts")


async def test_the_session_is_a_cookie_that_scripts_and_other_sites_do_not_get(town: Town) -> None:
    answer = await town.visit().sign_in("P-1")
    cookie = next(one for one in answer.headers.get_list("set-cookie") if one.startswith("holdfast_session="))
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert "Path=/" in cookie


async def test_the_tables_do_not_hold_what_the_browser_holds(town: Town) -> None:
    visit = await town.signed_in("P-1")
    rows = await town.agency.database.fetch("SELECT * FROM web_sessions")
    assert visit.session
    assert visit.session not in str([dict(row) for row in rows])


async def test_the_request_to_the_provider_has_pkce_nonce_and_max_age(town: Town) -> None:
    asked = await town.visit().get("/login/start", follow_redirects=False)
    address = asked.headers["location"]
    for part in ("code_challenge=", "code_challenge_method=S256", "nonce=", "state=", "max_age=900"):
        assert part in address


async def test_a_code_is_no_good_without_its_verifier(town: Town) -> None:
    visit = town.visit()
    asked = await visit.get("/login/start", follow_redirects=False)
    there = await visit.http.post(asked.headers["location"], data={"sub": "P-1"}, follow_redirects=False)
    code = httpx2.URL(there.headers["location"]).params["code"]
    stolen = {"grant_type": "authorization_code", "code": code, "client_id": "holdfast", "client_secret": "simulator"}
    stolen |= {"redirect_uri": f"{town.url}/login/callback", "code_verifier": "x" * 48}
    assert (await visit.http.post(f"{town.idp.issuer}/oauth2/token", data=stolen)).status_code == 400


async def test_a_sign_in_of_another_browser_is_refused(town: Town) -> None:
    mallory, victim = town.visit(), town.visit()
    asked = await mallory.get("/login/start", follow_redirects=False)
    there = await mallory.http.post(asked.headers["location"], data={"sub": "P-1"}, follow_redirects=False)
    answer = await victim.http.get(there.headers["location"], follow_redirects=False)
    assert answer.status_code == 401
    assert not victim.session


async def test_a_callback_counts_once(town: Town) -> None:
    visit = town.visit()
    asked = await visit.get("/login/start", follow_redirects=False)
    there = await visit.http.post(asked.headers["location"], data={"sub": "P-1"}, follow_redirects=False)
    kept = dict(visit.http.cookies)
    assert (await visit.http.get(there.headers["location"], follow_redirects=False)).status_code == 303
    again = town.visit()
    again.http.cookies.update(kept)
    assert (await again.http.get(there.headers["location"], follow_redirects=False)).status_code == 401


async def test_an_answer_with_another_nonce_is_refused(town: Town) -> None:
    visit = town.visit()
    asked = await visit.get("/login/start", follow_redirects=False)
    there = await visit.http.post(asked.headers["location"], data={"sub": "P-1"}, follow_redirects=False)
    await town.agency.database.execute("UPDATE web_logins SET nonce = 'another'")
    assert (await visit.http.get(there.headers["location"], follow_redirects=False)).status_code == 401


async def test_a_refusal_of_the_provider_is_401(town: Town) -> None:
    visit = town.visit()
    asked = await visit.get("/login/start", follow_redirects=False)
    state = httpx2.URL(asked.headers["location"]).params["state"]
    answer = await visit.get(f"/login/callback?error=access_denied&state={state}", follow_redirects=False)
    assert answer.status_code == 401


async def test_somebody_unknown_here_gets_no_further(town: Town) -> None:
    visit = town.visit()
    assert (await visit.sign_in("stranger")).status_code == 303
    answer = await visit.get("/")
    assert answer.status_code == 403
    assert "ask Operations" in answer.text


async def test_a_second_sign_in_is_silent_but_one_for_money_asks_again(town: Town) -> None:
    visit = await town.signed_in("P-1")
    silent = await visit.get("/login/start", follow_redirects=False)
    assert (await visit.http.get(silent.headers["location"], follow_redirects=False)).status_code == 302
    fresh = await visit.get("/login/start?fresh=true", follow_redirects=False)
    assert "prompt=login" in fresh.headers["location"]
    assert (await visit.http.get(fresh.headers["location"], follow_redirects=False)).status_code == 200


async def test_a_silent_sign_in_does_not_count_for_money(town: Town) -> None:
    """The provider is told to ask, and does not."""
    visit = await town.signed_in("P-1")
    (session,) = town.idp.sessions
    town.idp.sessions[session] = ("P-1", town.idp.sessions[session][1] - 3600)
    town.idp.silent = True
    answer = await visit.sign_in("P-1", again=True)
    assert answer.status_code == 401
    assert "did not ask you again" in answer.text


async def test_a_revoked_session_is_over(town: Town) -> None:
    visit = await town.signed_in("P-1")
    assert (await visit.get("/")).status_code == 200
    await town.agency.database.execute("UPDATE web_sessions SET revoked_at = holdfast_now()")
    assert (await visit.get("/", follow_redirects=False)).status_code == 303


async def test_signing_out_ends_the_session_on_the_server(town: Town) -> None:
    visit = await town.signed_in("P-1")
    kept = visit.session
    csrf = _csrf((await visit.get("/")).text)
    assert (await visit.post("/logout", {"csrf": csrf})).status_code == 303
    thief = town.visit()
    thief.http.cookies.set("holdfast_session", kept)
    assert (await thief.get("/", follow_redirects=False)).status_code == 303


async def test_signing_out_everywhere_ends_the_other_browser_too(town: Town) -> None:
    here, there = await town.signed_in("P-1"), await town.signed_in("P-1")
    await here.post("/logout/everywhere", {"csrf": _csrf((await here.get("/")).text)})
    assert (await there.get("/", follow_redirects=False)).status_code == 303


@pytest.mark.parametrize(("pause", "times"), [(timedelta(hours=2, minutes=1), 1), (timedelta(hours=1, minutes=50), 7)])
async def test_a_session_ends_when_left_idle_and_when_it_is_old(town: Town, pause: timedelta, times: int) -> None:
    visit = await town.signed_in("P-1")
    for number in range(1, times):
        await town.agency.database.shift(pause * number)
        assert (await visit.get("/")).status_code == (200 if pause * number < timedelta(hours=12) else 303)
    await town.agency.database.shift(pause * times)
    assert (await visit.get("/", follow_redirects=False)).status_code == 303


async def test_a_page_that_looks_for_news_by_itself_keeps_no_session_alive(town: Town) -> None:
    visit = await town.signed_in("P-1")
    for minutes in (60, 119):
        await town.agency.database.shift(timedelta(minutes=minutes))
        assert (await visit.get("/?part=yes")).status_code == 200
    await town.agency.database.shift(timedelta(minutes=121))
    assert (await visit.get("/", follow_redirects=False)).status_code == 303


async def test_a_new_sign_in_ends_the_session_it_replaces(town: Town) -> None:
    visit = await town.signed_in("P-1")
    kept = visit.session
    await visit.sign_in("P-2", again=True)
    assert visit.session != kept
    thief = town.visit()
    thief.http.cookies.set("holdfast_session", kept)
    assert (await thief.get("/", follow_redirects=False)).status_code == 303


@pytest.mark.parametrize(
    "target", ["https://evil.example", "//evil.example", "/\\evil.example", "javascript:alert(1)", "/a\nb", ""]
)
def test_nobody_is_sent_to_another_site_after_signing_in(target: str) -> None:
    assert local_path(target) == "/"


def test_a_page_of_ours_is_where_they_go() -> None:
    assert local_path("/cases/return-lead/1/steps/confirm?x=1") == "/cases/return-lead/1/steps/confirm?x=1"


def _csrf(page: str) -> str:
    found = re.search(r'name="csrf" value="([0-9a-f]{64})"', page)
    assert found
    return found.group(1)
