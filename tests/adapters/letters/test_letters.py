"""Letters as they go out, made from real tables."""

import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from uuid import uuid4

import pytest
from jinja2 import UndefinedError

from adapters.letters.letters import PostgresLetters
from adapters.letters.render import fill_in
from adapters.postgres.crypto import Vault
from adapters.postgres.pool import transaction
from domain import ids
from domain.case import Deadline, Model, OpenStep
from domain.effects import AnswerClient, Audience, AuthoriseCreditNote, ConfirmToAccounts, Nudge, SendLetter
from domain.errors import Permanent
from domain.mail import LOOP_IN_SENTENCE, OutgoingMail
from domain.messages import ActBody
from domain.people import Identity
from domain.return_lead import BillingState, ClaimProblem, Confirmation, Finding, Findings, LeadBilling, Reason, Verdict
from domain.sops.return_lead_texts import INSTRUCTIONS
from domain.subject import Subject, SubjectLine, line_of
from domain.texts import digest
from domain.thread import CaseThread
from runtime.keys import Signer, local_signer, signed_act
from runtime.settings import Settings
from tests.conftest import Database

CASE = ids.return_lead_case("<one@client.example>")
NOW = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
THREAD = CaseThread(
    message_id="<one@client.example>",
    sender="jane@client.example",
    to=("ppc@commversion.com", "boss@client.example"),
    cc=("boss@client.example", "am@commversion.com"),
    subject="Bad leads",
    references=("<zero@client.example>",),
    department="ppc@commversion.com",
    department_name="PPC Team",
    sent_at=NOW,
    arrived_at=NOW,
    text="please take these back",
)
REASON = "We rang the number on Tuesday.\nThe caller asked for exactly the service you offer."


class Office:
    """A database with one case in it."""

    def __init__(self, database: Database, letters: PostgresLetters, vault: Vault, signer: Signer) -> None:
        self.database, self.letters, self.vault, self.signer = database, letters, vault, signer

    async def case(self, thread: CaseThread | None = THREAD) -> None:
        pool = await self.database.pool()
        async with transaction(pool) as conn:
            await conn.execute("INSERT INTO clients (client_id, name, contact_id) VALUES ('c1', 'Acme Dental', 'x1')")
            await conn.execute("INSERT INTO client_addresses VALUES ('jane@client.example', 'c1')")
            await conn.execute(
                "INSERT INTO departments VALUES ('team:accounts', 'Accounts', 'accounts@commversion.com'),"
                " ('team:return-leads', 'Return Leads', 'returnleads@commversion.com')"
            )
            await conn.execute(
                "INSERT INTO people (person_id, name, email, issuer, sub)"
                " VALUES ('rita', 'Rita Lane', 'rita@commversion.com', 'local', 'rita')"
            )
            sealed = await self.vault.seal(conn, "c1", thread.model_dump_json().encode()) if thread else None
            await conn.execute(
                "INSERT INTO cases (case_id, workflow_id, kind, client_id, status, thread_ct, opened_at)"
                " VALUES ($1, $1, 'ReturnLead', 'c1', 'open', $2, $3)",
                CASE, sealed, NOW,
            )  # fmt: skip

    async def lead(
        self, ordinal: int, lead_id: str, billing: LeadBilling | None = None, problem: ClaimProblem = ClaimProblem.NONE
    ) -> None:
        await self.database.execute(
            "INSERT INTO case_leads (case_id, ordinal, lead_id, problem, billing)"
            " VALUES ($1, $2, $3, $4, $5::text::jsonb)",
            CASE, ordinal, lead_id, problem.value, billing.model_dump_json() if billing else None,
        )  # fmt: skip

    async def found(self, valid: tuple[str, ...], refused: tuple[str, ...]) -> None:
        pool = await self.database.pool()
        async with transaction(pool) as conn:
            sealed = await self.vault.seal(conn, "c1", REASON.encode())
            await conn.execute(
                "INSERT INTO texts (sha256, client_id, content_ct) VALUES ($1, 'c1', $2)", digest(REASON), sealed
            )
        findings = [
            Finding(lead_id=one, verdict=Verdict.VALID, reason=Reason.SPAM, text_sha256=digest("ok")) for one in valid
        ]
        findings += [
            Finding(lead_id=one, verdict=Verdict.NOT_VALID, reason=Reason.GENUINE, text_sha256=digest(REASON))
            for one in refused
        ]
        await self.act("return.findings", Findings(findings=tuple(findings)), "ivan")

    async def act(
        self, kind: str, result: Model, person: str, signer: Signer | None = None, lines: tuple[SubjectLine, ...] = ()
    ) -> str:
        """Stores an act as the gateway signed it."""
        now = int(str(await self.database.value("SELECT floor(extract(epoch FROM holdfast_now()))::bigint")))
        about = Subject(case_id=CASE, of="all", lines=lines)
        body = ActBody(
            kid="", jti=str(uuid4()), kind=kind, deployment="local", case_id=CASE, workflow_id=CASE, step_id="s",
            subject_sha256=about.sha256, payload_sha256="", actor=Identity(issuer="local", sub=person), auth="local",
            auth_time=now, iat=now, exp=now + 900,
        )  # fmt: skip
        act = signed_act(signer or self.signer, body, result)
        await self.database.execute(
            "INSERT INTO acts (jti, case_id, workflow_id, step_id, kind, subject_sha256, issuer, sub, person_id, auth,"
            " body, payload, signature, subject)"
            " VALUES ($1, $2, $2, 's', $3, $4, 'local', $5, $5, 'local', $6, $7, $8, $9)",
            body.jti, CASE, kind, about.sha256, person, act.body, act.payload, act.signature, about.json_text,
        )  # fmt: skip
        return body.jti

    async def confirm(self, *leads: LeadBilling) -> str:
        lines = tuple(line_of(one.lead_id, one, ()) for one in leads)
        return await self.act("return.confirm", Confirmation(preview_sha256="0" * 64), "rita", lines=lines)

    async def credit(self, jti: str, turn: int = 1) -> str:
        """An authorised credit note on the invoice, resting on a confirmation; returns its number."""
        key, number = ids.effect_key(CASE, f"authorise-credit-note.{turn}"), ids.credit_note_number(CASE, "INV-7", turn)
        note = AuthoriseCreditNote(key=key, clause="RL-12", invoice_id="inv", turn=turn)
        await self.database.execute(
            "INSERT INTO effects (key, case_id, kind, clause, gated, body, state, reference, attempts)"
            " VALUES ($1, $2, $3, 'RL-12', true, $4::text::jsonb, 'sent', $5, 1)",
            key, CASE, note.kind, note.model_dump_json(), number,
        )  # fmt: skip
        await self.database.execute("INSERT INTO effect_acts VALUES ($1, 1, $2)", key, jti)
        return number

    async def effect(self, kind: str, body: dict[str, str], state: str, reference: str = "") -> None:
        await self.database.execute(
            "INSERT INTO effects (key, case_id, kind, clause, gated, body, state, reference)"
            " VALUES ($1, $2, $3, 'RL-12', true, $4::text::jsonb, $5, $6)",
            f"{CASE}/{kind}/{body.get('invoice_id', '')}", CASE, kind, json.dumps(body), state, reference,
        )  # fmt: skip

    async def mixed(self) -> None:
        await self.case()
        await self.lead(
            1, "L-1", LeadBilling(lead_id="L-1", state=BillingState.UNBILLED, gross=Decimal("60.00"), gbp=Decimal(60))
        )
        for ordinal, lead_id in ((2, "L-2"), (3, "L-3")):
            await self.lead(ordinal, lead_id, issued(lead_id))
        await self.lead(4, "L-4")
        await self.lead(5, "L-9", problem=ClaimProblem.UNKNOWN)
        await self.found(("L-1", "L-2", "L-3"), ("L-4",))

    async def compose(self, effect: SendLetter | Nudge | AnswerClient | ConfirmToAccounts) -> OutgoingMail:
        return await self.letters.compose(CASE, effect)


def issued(lead_id: str) -> LeadBilling:
    return LeadBilling(
        lead_id=lead_id, state=BillingState.ISSUED, invoice_id="inv", invoice_number="INV-7",
        gross=Decimal("72.00"), net=Decimal("60.00"), gbp=Decimal("72.00"),
    )  # fmt: skip


def letter(template: str, audience: Audience) -> SendLetter:
    return SendLetter(key=ids.effect_key(CASE, template), clause="RL-3", template=template, audience=audience)


ANSWER = AnswerClient(key=ids.effect_key(CASE, "answer-client"), clause="RL-6")
NOTE = ids.credit_note_number(CASE, "INV-7")
OfficeMaker = Callable[[], Awaitable[Office]]


@pytest.fixture
async def office(database: Database, tmp_path: Path) -> Office:
    vault, settings = Vault(b"k" * 32), Settings(state_dir=tmp_path)
    signer = local_signer(settings.keys_dir)
    return Office(database, PostgresLetters(await database.pool("sops"), vault, settings), vault, signer)


@pytest.mark.clause("RL-3")
async def test_the_sentence_goes_word_for_word_in_the_departments_name_in_the_clients_thread(office: Office) -> None:
    await office.case()
    mail = await office.compose(letter("loop-in", Audience.CLIENT_THREAD))
    assert LOOP_IN_SENTENCE in mail.text.splitlines()
    assert (mail.sender, mail.sender_name) == ("ppc@commversion.com", "PPC Team")
    assert mail.subject == "Re: Bad leads"
    assert (mail.in_reply_to, mail.references) == (THREAD.message_id, (*THREAD.references, THREAD.message_id))


@pytest.mark.clause("RL-9")
async def test_a_client_mail_reaches_every_original_recipient_once_and_the_returns_inbox(office: Office) -> None:
    await office.mixed()
    mail = await office.compose(ANSWER)
    assert mail.to == ("jane@client.example",)
    assert mail.cc == (
        "ppc@commversion.com",
        "boss@client.example",
        "am@commversion.com",
        "returnleads@commversion.com",
    )


async def test_the_message_id_is_that_of_the_effect_on_every_try(office: Office) -> None:
    await office.mixed()
    first, second = await office.compose(ANSWER), await office.compose(ANSWER)
    assert first.message_id == second.message_id == ids.message_id(ANSWER.key, "commversion.com")


@pytest.mark.clause("RL-5")
@pytest.mark.clause("RL-6")
@pytest.mark.clause("RL-9")
async def test_one_answer_tells_of_every_lead(office: Office) -> None:
    await office.mixed()
    await office.credit(await office.confirm(issued("L-2"), issued("L-3")))
    text = (await office.compose(ANSWER)).text
    not_charged, credited, refused = text.split("Leads ")[1:]
    assert "will not be charged" in not_charged
    assert "L-1\n" in not_charged
    assert f"Credit note {NOTE} for invoice INV-7: GBP 144.00" in credited
    assert "L-2  GBP 72.00" in credited
    assert "L-4\n  We rang the number on Tuesday.\n  The caller asked" in refused
    assert "L-9\n  We can't find a lead with this number" in refused


async def test_a_credit_that_accounts_have_not_authorised_is_never_promised(office: Office) -> None:
    await office.mixed()
    await office.effect("authorise-credit-note", {"invoice_id": "inv"}, "prepared")
    text = (await office.compose(ANSWER)).text
    assert "credit note" not in text.lower()
    assert "still with our Accounts team" in text


async def test_the_preview_foresees_the_credit_note_and_its_hash_is_of_the_text(office: Office) -> None:
    await office.mixed()
    preview = await office.letters.preview(CASE)
    assert NOTE in preview.text
    assert preview.sha256 == digest(preview.text)
    await office.credit(await office.confirm(issued("L-2"), issued("L-3")))
    assert (await office.compose(ANSWER)).text == preview.text


@pytest.mark.clause("RL-13")
async def test_the_confirmation_names_leads_invoice_amounts_and_who_confirmed(office: Office) -> None:
    await office.mixed()
    await office.act("return.confirm", Confirmation(preview_sha256="0" * 64), "rita")
    mail = await office.compose(ConfirmToAccounts(key=ids.effect_key(CASE, "confirm-to-accounts"), clause="RL-13"))
    assert mail.to == ("accounts@commversion.com",)
    assert mail.cc == ("returnleads@commversion.com",)
    assert f"Invoice INV-7, credit note {NOTE}, GBP 144.00 in all\n  L-2  GBP 72.00\n  L-3  GBP 72.00\n" in mail.text
    assert "Confirmed by: Rita Lane" in mail.text
    assert "  L-1" not in mail.text
    assert ids.case_token(CASE) in mail.subject


@pytest.mark.clause("RL-13")
async def test_a_second_confirmation_asks_accounts_for_what_is_not_credited_yet_and_for_nothing_else(
    office: Office,
) -> None:
    await office.mixed()
    first = await office.credit(await office.confirm(issued("L-2")))
    await office.confirm(issued("L-2"), issued("L-3"))
    second = ids.credit_note_number(CASE, "INV-7", 2)
    key = ids.effect_key(CASE, "confirm-to-accounts", 2)
    mail = await office.compose(ConfirmToAccounts(key=key, clause="RL-13"))
    assert "please issue a credit note" in mail.subject
    assert f"Invoice INV-7, credit note {second}, GBP 72.00 in all\n  L-3  GBP 72.00\n" in mail.text
    assert ("L-2" in mail.text, f"{first}," in mail.text) == (False, False)
    await _step(office, "authorise")
    told = await office.letters.instructions(CASE, "authorise")
    assert (f"{second} for invoice INV-7: GBP 72.00" in told, "L-2" in told) == (True, False)


@pytest.mark.clause("RL-6")
async def test_each_note_of_an_invoice_is_told_to_the_client_by_its_own_number(office: Office) -> None:
    await office.mixed()
    first = await office.credit(await office.confirm(issued("L-2")))
    again = await office.confirm(issued("L-2"), issued("L-3"))
    second = ids.credit_note_number(CASE, "INV-7", 2)
    text = (await office.compose(ANSWER)).text
    assert (first in text, "L-3" in text.split("still with our Accounts team")[0]) == (True, False)
    assert await office.credit(again, turn=2) == second
    text = (await office.compose(ANSWER)).text
    assert f"Credit note {first} for invoice INV-7: GBP 72.00\n    L-2  GBP 72.00\n" in text
    assert f"Credit note {second} for invoice INV-7: GBP 72.00\n    L-3  GBP 72.00\n" in text


async def test_a_letter_about_money_says_what_the_books_say_whatever_the_tables_do(office: Office) -> None:
    """How a lead is billed is a row of the SOP worker's: here it makes a note of a promise, and thousands of a note."""
    await office.mixed()
    now = (LeadBilling(lead_id="L-1", state=BillingState.UNBILLED), issued("L-2"), issued("L-3"))
    await office.credit(await office.confirm(*now))
    forged = (issued("L-1"), issued("L-2").model_copy(update={"gross": Decimal(4000)}))
    for lead, row in ((one.lead_id, one.model_dump(mode="json")) for one in forged):
        await office.database.execute("UPDATE case_leads SET billing = $2 WHERE lead_id = $1", lead, row)
    text = (await office.letters.compose(CASE, ANSWER, now)).text
    assert f"Credit note {NOTE} for invoice INV-7: GBP 144.00" in text
    assert ("4,000" in text, "L-1\n" in text.split("we have credited")[0]) == (False, True)


async def test_a_letter_about_money_is_about_the_leads_that_were_let_through_and_no_others(office: Office) -> None:
    """The rows of a case's leads taken away while the gate looks, and put back while the letter is written."""
    await office.mixed()
    for let_through in ((), (issued("L-2"),), tuple(issued(f"L-{n}") for n in range(1, 5))):
        for effect in (ANSWER, ConfirmToAccounts(key=ids.effect_key(CASE, "confirm-to-accounts"), clause="RL-13")):
            with pytest.raises(Permanent, match="other leads"):
                await office.letters.compose(CASE, effect, let_through)


async def test_a_number_written_beside_a_draft_that_was_never_made_is_in_no_letter(office: Office) -> None:
    await office.mixed()
    await office.effect("draft-credit-note", {"invoice_id": "inv"}, "prepared", "RL-FORGED")
    mail = await office.compose(ConfirmToAccounts(key=ids.effect_key(CASE, "confirm-to-accounts"), clause="RL-13"))
    assert (NOTE in mail.text, "FORGED" in mail.text) == (True, False)


@pytest.mark.clause("RL-8")
async def test_accounts_are_told_the_final_action_of_each_lead(office: Office) -> None:
    await office.mixed()
    await office.credit(await office.confirm(issued("L-2"), issued("L-3")))
    await office.effect("answer-client", {}, "sent")
    text = (await office.compose(letter("final-action", Audience.ACCOUNTS))).text
    assert f"L-2  valid, credited: GBP 72.00 of invoice INV-7, credit note {NOTE}" in text
    assert "L-1  valid, not to be invoiced" in text
    assert "L-4  not returned: to be charged as usual" in text
    assert "L-9  not looked into (unknown lead)" in text


async def test_an_internal_mail_that_would_reach_the_client_is_stopped(office: Office) -> None:
    await office.case()
    await office.database.execute("INSERT INTO client_addresses VALUES ('accounts@commversion.com', 'c1')")
    await office.effect("answer-client", {}, "sent")
    with pytest.raises(Permanent) as caught:
        await office.compose(letter("final-action", Audience.ACCOUNTS))
    assert caught.value.code == "internal-mail-to-client"


@pytest.mark.parametrize(
    ("template", "code"),
    [
        ("answer", "gated"),
        ("confirm-to-accounts", "gated"),
        ("final-action", "not-answered"),
        ("cheque", "unknown-template"),
    ],
)
async def test_nothing_about_money_is_sent_as_a_plain_letter(office: Office, template: str, code: str) -> None:
    await office.mixed()
    with pytest.raises(Permanent) as caught:
        await office.compose(letter(template, Audience.ACCOUNTS))
    assert caught.value.code == code


async def test_an_internal_letter_is_never_made_for_the_clients_thread(office: Office) -> None:
    await office.case()
    await office.effect("answer-client", {}, "sent")
    with pytest.raises(Permanent) as caught:
        await office.compose(letter("final-action", Audience.CLIENT_THREAD))
    assert caught.value.code == "wrong-audience"


async def test_whom_to_answer_is_never_guessed_among_several_addresses(office: Office) -> None:
    await office.case(THREAD.model_copy(update={"sender": ""}))
    await office.database.execute("INSERT INTO client_addresses VALUES ('joe@client.example', 'c1')")
    with pytest.raises(Permanent) as caught:
        await office.compose(letter("holding-note", Audience.CLIENT_THREAD))
    assert caught.value.code == "nobody-to-send-to"


async def test_a_refused_lead_without_its_text_stops_the_letter(office: Office) -> None:
    await office.mixed()
    await office.database.execute("DELETE FROM texts")
    with pytest.raises(Permanent) as caught:
        await office.compose(letter("refused", Audience.ALL_RECIPIENTS))
    assert caught.value.code == "reason-missing"


async def _step(office: Office, name: str, claimed_by: str = "") -> None:
    line = Deadline(
        label=f"{name} is due", clause="RL-4", since=NOW, after=timedelta(hours=48), due=NOW + timedelta(hours=48)
    )
    view = OpenStep(
        step_id=name, name=name, clause="RL-4", kinds=("step.done",), role="team:return-leads", claimed_by=claimed_by,
        subject="all", waiting_for="findings", asked_at=NOW, deadline=line,
    )  # fmt: skip
    await office.database.execute(
        "INSERT INTO case_steps (case_id, step_id, name, clause, kinds, role, owner, subject, waiting_for, asked_at,"
        " due_at, view) VALUES ($1, $2, $2, 'RL-4', '{step.done}', 'team:return-leads', $3, 'all', 'findings', $4, $5,"
        " $6::text::jsonb)",
        CASE, name, view.owner, NOW, line.due, view.model_dump_json(),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("claimed_by", "to"),
    [
        ("", "returnleads@commversion.com"),
        ("rita", "rita@commversion.com"),
        ("somebody-gone", "returnleads@commversion.com"),
    ],
)
async def test_a_nudge_goes_to_whoever_the_step_belongs_to_and_never_to_nobody(
    office: Office, claimed_by: str, to: str
) -> None:
    await office.mixed()
    await _step(office, "investigate", claimed_by)
    mail = await office.compose(
        Nudge(key=ids.effect_key(CASE, "nudge", "investigate.0"), clause="RL-4", step_id="investigate")
    )
    assert mail.to == (to,)
    assert mail.cc == ()
    assert f"holdfast step complete {CASE} investigate --findings findings.csv" in mail.text
    assert "48 h after" in mail.text


@pytest.mark.parametrize("name", sorted(INSTRUCTIONS))
async def test_every_step_has_instructions_that_read_whole_and_name_its_command(office: Office, name: str) -> None:
    await office.mixed()
    await _step(office, name)
    mail = await office.compose(Nudge(key=ids.effect_key(CASE, "nudge", name), clause="RL-4", step_id=name, chase=2))
    assert mail.subject.startswith(f"[{ids.case_token(CASE)}] Reminder 2: {INSTRUCTIONS[name].title}")
    command = f"approvals decide {CASE}" if name == "approval" else f"step complete {CASE} {name}"
    assert f"holdfast {command} --" in mail.text
    assert "{{" not in mail.text
    assert "{%" not in mail.text


async def test_findings_that_do_not_prove_themselves_are_as_if_they_were_not_there(
    office: Office, tmp_path: Path
) -> None:
    await office.mixed()
    before = (await office.letters.preview(CASE)).text
    forged = tuple(
        Finding(lead_id=f"L-{number}", verdict=Verdict.VALID, reason=Reason.SPAM, text_sha256=digest("ok"))
        for number in range(1, 5)
    )
    await office.act("return.findings", Findings(findings=forged), "mallory", local_signer(tmp_path / "other"))
    assert (await office.letters.preview(CASE)).text == before


async def test_words_from_outside_are_never_taken_for_a_template(office: Office) -> None:
    await office.case(THREAD.model_copy(update={"subject": "{{ 7 * 7 }}\nBcc: all@client.example"}))
    mail = await office.compose(letter("acknowledge", Audience.CLIENT_THREAD))
    assert mail.subject == "Re: {{ 7 * 7 }} Bcc: all@client.example"


def test_a_missing_value_is_an_error_not_a_gap() -> None:
    with pytest.raises(UndefinedError):
        fill_in("Dear {{ nobody }}", {})
