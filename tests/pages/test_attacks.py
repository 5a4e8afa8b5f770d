"""What somebody hostile may try on the pages. Each must leave nothing done."""

import asyncio
from collections.abc import AsyncGenerator

import httpx2
import pytest

from starter.pages.guard import MOST_BYTES
from starter.pages.render import case_url, step_url
from starter.pages.table import MOST_EVIDENCE
from tests.agency import CLIENT_MAIL, letter
from tests.pages.town import Town, Visit

SCRIPT = "<script>fetch('/logout',{method:'POST'})</script><img src=x onerror=alert(1)>"


async def _confirming(town: Town) -> tuple[str, str, Visit, dict[str, str]]:
    case_id, page = await town.investigated("L-1005")
    tom = await town.signed_in("P-2")
    return case_id, page, tom, await tom.fields(page, "return.confirm")


@pytest.mark.parametrize("csrf", [None, "", "0" * 64])
async def test_a_form_without_the_sessions_token_does_nothing(town: Town, csrf: str | None) -> None:
    case_id, page, tom, fields = await _confirming(town)
    fields = {name: value for name, value in fields.items() if name != "csrf"}
    answer = await tom.post(page, fields if csrf is None else fields | {"csrf": csrf})
    assert answer.status_code == 403
    assert await town.acts(case_id, "return.confirm") == 0


async def test_another_sessions_token_does_nothing(town: Town) -> None:
    case_id, page, tom, fields = await _confirming(town)
    priya = await town.signed_in("P-1")
    theirs = (await priya.fields(page, "step.claim"))["csrf"]
    assert (await tom.post(page, fields | {"csrf": theirs})).status_code == 403
    assert await town.acts(case_id, "return.confirm") == 0


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "", "http://127.0.0.1:1", "http://localhost:8700"])
async def test_a_form_of_another_site_does_nothing(town: Town, origin: str) -> None:
    case_id, page, tom, fields = await _confirming(town)
    assert (await tom.post(page, fields, origin=origin)).status_code == 403
    assert await town.acts(case_id, "return.confirm") == 0


async def test_signing_out_by_another_site_does_nothing(town: Town) -> None:
    _, _, tom, fields = await _confirming(town)
    await tom.post("/logout", {"csrf": fields["csrf"]}, origin="https://evil.example")
    await tom.get("/logout")
    assert (await tom.get("/", follow_redirects=False)).status_code == 200


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"])
async def test_no_other_method_decides(town: Town, method: str) -> None:
    case_id, page, tom, fields = await _confirming(town)
    await tom.http.request(method, town.url + page, params=fields, headers={"Origin": town.url})
    await tom.http.request(method, town.url + page, content=httpx2.QueryParams(fields).__str__().encode())
    assert await town.acts(case_id, "return.confirm") == 0


async def test_an_old_sign_in_signs_no_money(town: Town) -> None:
    case_id, page, tom, fields = await _confirming(town)
    await town.agency.database.execute("UPDATE web_sessions SET auth_time = auth_time - interval '16 minutes'")
    answer = await tom.post(page, fields)
    assert answer.status_code == 401
    assert "Sign in again" in answer.text
    assert await town.acts(case_id, "return.confirm") == 0


async def test_findings_are_kept_when_the_sign_in_is_too_old(town: Town) -> None:
    case_id = await town.opened("L-1001")
    page = step_url(case_id, "investigate")
    priya = await town.signed_in("P-1")
    fields = await priya.fields(page, "table.hand-in")
    await town.agency.database.execute("UPDATE web_sessions SET auth_time = auth_time - interval '16 minutes'")
    words = "A robot filled in the form, twice."
    typed = {"verdict:L-1001": "valid", "reason:L-1001": "spam", "text:L-1001": words}
    assert (await priya.post(page, fields | typed)).status_code == 401
    assert await town.acts(case_id, "return.findings") == 0
    assert words in (await priya.get(page)).text


async def test_a_session_that_was_revoked_signs_nothing(town: Town) -> None:
    case_id, page, tom, fields = await _confirming(town)
    await town.agency.database.execute("UPDATE web_sessions SET revoked_at = holdfast_now()")
    assert (await tom.post(page, fields)).status_code == 401
    assert await town.acts(case_id, "return.confirm") == 0


async def test_somebody_who_left_signs_nothing(town: Town) -> None:
    case_id, page, tom, fields = await _confirming(town)
    await town.agency.database.execute("UPDATE people SET active = false WHERE person_id = 'P-2'")
    assert (await tom.post(page, fields)).status_code == 403
    assert await town.acts(case_id, "return.confirm") == 0


async def test_another_kind_than_the_step_asks_for_is_refused(town: Town) -> None:
    case_id, page, tom, fields = await _confirming(town)
    for kind in ("return.authorise", "return.approve", "step.done", "nothing.such", ""):
        assert (await tom.post(page, fields | {"kind": kind})).status_code == 409
    assert await town.acts(case_id, "return.confirm") == 0


async def test_a_preview_that_changed_since_is_not_confirmed(town: Town) -> None:
    case_id, page, tom, fields = await _confirming(town)
    assert (await tom.post(page, fields | {"preview_sha256": "0" * 64})).status_code == 409
    assert (await tom.post(page, fields | {"subject": "0" * 64})).status_code == 409
    assert await town.acts(case_id, "return.confirm") == 0


async def test_a_form_sent_twice_counts_once(town: Town) -> None:
    case_id, page, tom, fields = await _confirming(town)
    assert (await tom.post(page, fields)).status_code == 303
    assert (await tom.post(page, fields)).status_code == 409
    assert await town.acts(case_id, "return.confirm") == 1


async def test_a_clients_words_are_text_and_nothing_else(town: Town) -> None:
    mail = letter("L-1001", text=f"Please take back L-1001. {SCRIPT}\n")
    del mail["Subject"]
    mail["Subject"] = SCRIPT
    case_id = await town.agency.receive(mail)
    await town.agency.parked(case_id, "investigate")
    priya = await town.signed_in("P-1")
    for path in (case_url(case_id), step_url(case_id, "investigate")):
        shown = (await priya.get(path)).text
        assert CLIENT_MAIL in shown
        assert "&lt;script&gt;" in shown
        assert "<script>" not in shown
        assert "<img" not in shown


async def test_a_finding_is_text_and_nothing_else(town: Town) -> None:
    case_id = await town.opened("L-1001")
    page = step_url(case_id, "investigate")
    priya = await town.signed_in("P-1")
    typed = {"verdict:L-1001": "valid", "reason:L-1001": "spam", "text:L-1001": f"</textarea>{SCRIPT}"}
    assert (await priya.act(page, "table.save", **typed)).status_code == 303
    shown = (await priya.get(page)).text
    assert "&lt;/textarea&gt;" in shown
    assert "<img" not in shown


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("evidence.html", b"<html><script>alert(1)</script></html>"),
        ("evidence.svg", b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>'),
        ("evidence.txt", b"  \n<!DOCTYPE html><form action=/logout method=post>"),
        ("evidence.pdf", b"<svg onload=alert(1)>"),
        ("evidence.png", b"MZ\x90\x00"),
        ("evidence.txt", b"a\0b"),
        ("evidence.exe", b"just text"),
        ("evidence.txt", b"x" * 5_000_001),
    ],
)
async def test_evidence_of_another_kind_is_not_kept(town: Town, name: str, content: bytes) -> None:
    case_id = await town.opened("L-1001")
    page = step_url(case_id, "investigate")
    priya = await town.signed_in("P-1")
    fields = await priya.fields(page, "table.save")
    answer = await priya.post(page, fields, files={"file:L-1001": (name, content, "image/png")})
    assert answer.status_code == 422
    assert "evidence" in answer.text
    assert await town.agency.database.value("SELECT count(*) FROM texts WHERE name <> ''") == 0


async def test_a_lead_has_so_many_pieces_of_evidence_and_no_more(town: Town) -> None:
    case_id = await town.opened("L-1001")
    page, priya = step_url(case_id, "investigate"), await town.signed_in("P-1")
    kept = [await town.agency.text(f"call {n}") for n in range(MOST_EVIDENCE)]
    typed = {"verdict:L-1001": "valid", "reason:L-1001": "spam", "text:L-1001": "A robot filled in the form."}
    fields = await priya.fields(page, "table.save") | typed
    assert (await priya.post(page, fields | {"evidence:L-1001": kept})).status_code == 303
    one_more = {"file:L-1001": ("call.txt", b"one more", "text/plain")}
    answer = await priya.post(page, fields | {"evidence:L-1001": kept}, files=one_more)
    assert (answer.status_code, f"at most {MOST_EVIDENCE} pieces" in answer.text) == (422, True)


async def test_whatever_evidence_holds_a_browser_runs_nothing_of_it(town: Town) -> None:
    """Evidence that came in elsewhere may be a page; it is a download all the same."""
    case_id = await town.opened("L-1001")
    sha = await town.agency.text(SCRIPT)
    await town.agency.database.execute("UPDATE texts SET content_type = 'text/html', name = 'a\"\r\nX: y.html'")
    priya = await town.signed_in("P-1")
    answer = await priya.get(f"{case_url(case_id)}/evidence/{sha}")
    assert answer.headers["content-disposition"].startswith("attachment;")
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in answer.headers["content-security-policy"]
    assert "x" not in answer.headers


async def test_evidence_of_another_client_is_not_found(town: Town) -> None:
    case_id = await town.opened("L-1001")
    sha = await town.agency.text("A secret of theirs.")
    await town.agency.database.execute("INSERT INTO clients VALUES ('C-2', 'Other', '', 'GBP', NULL)")
    await town.agency.database.execute("UPDATE texts SET client_id = 'C-2'")
    priya = await town.signed_in("P-1")
    assert (await priya.get(f"{case_url(case_id)}/evidence/{sha}")).status_code == 404


async def test_every_answer_says_what_a_browser_may_do_with_it(town: Town) -> None:
    priya = await town.signed_in("P-1")
    for path in ("/", "/login", "/nothing/such", "/static/holdfast.css"):
        answer = await priya.get(path)
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "same-origin"


async def test_no_page_has_a_script_or_a_style_in_it(town: Town) -> None:
    case_id, page = await town.investigated("L-1001")
    tom = await town.signed_in("P-2")
    for path in ("/", page, case_url(case_id), step_url(case_id, "investigate"), "/accounts"):
        shown = (await tom.get(path)).text
        assert "<style" not in shown
        assert " style=" not in shown
        assert " onclick" not in shown
        assert shown.count("<script") == shown.count('<script src="/static/')


async def test_these_pages_are_at_one_address_only(town: Town) -> None:
    """A name that was made to point here reads nothing and sends nothing."""
    tom = await town.signed_in("P-2")
    headers = {"Host": "evil.example"}
    assert (await tom.get("/", headers=headers, follow_redirects=False)).headers["location"] == f"{town.url}/"
    assert (await tom.post("/logout", {}, headers=headers)).status_code == 421


async def test_a_flood_of_bytes_is_cut_off(town: Town) -> None:
    tom = await town.signed_in("P-2")
    announced = f"POST /logout HTTP/1.1\r\nHost: {town.url[7:]}\r\nOrigin: {town.url}\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", town.house.settings.web_port)
    writer.write(f"{announced}Content-Length: {MOST_BYTES + 1}\r\n\r\n".encode())
    assert b" 413 " in await reader.readline()
    writer.close()

    async def drops() -> AsyncGenerator[bytes]:
        yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
        for _ in range(MOST_BYTES // 1_000_000 + 1):
            yield b"x" * 1_000_000

    headers = {"Origin": town.url, "Content-Type": "multipart/form-data; boundary=x"}
    assert (await tom.http.post(f"{town.url}/logout", content=drops(), headers=headers)).status_code == 413


async def test_a_program_is_told_what_is_wrong_as_problem_details(town: Town) -> None:
    tom = await town.signed_in("P-2")
    answer = await tom.get("/cases/no/such", headers={"Accept": "application/json"})
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "unknown-case"


async def test_the_table_goes_out_and_comes_back_as_csv_without_formulas(town: Town) -> None:
    case_id = await town.opened("L-1001")
    page = step_url(case_id, "investigate")
    priya = await town.signed_in("P-1")
    words = "=HYPERLINK(1) was all that the form held."
    typed = {"verdict:L-1001": "valid", "reason:L-1001": "spam", "text:L-1001": words}
    await priya.act(page, "table.save", **typed)
    out = await priya.get(f"{page}/findings.csv")
    assert f"'{words}" in out.text
    fields = await priya.fields(page, "table.csv")
    changed = out.text.replace("spam", "Job seeker").encode()
    answer = await priya.post(page, fields | typed, files={"csv": ("findings.csv", changed, "text/csv")})
    assert answer.status_code == 303, answer.text
    shown = (await priya.get(page)).text
    assert 'value="job-seeker" selected' in shown
    assert ">=HYPERLINK(1) was all" in shown
