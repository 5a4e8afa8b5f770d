"""A small agency in the tables, with a gateway's key: people, a client, leads, a case; and acts signed for it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

from adapters.postgres.acts import PostgresActs
from adapters.postgres.crypto import Vault
from adapters.postgres.gate import PostgresGate
from adapters.postgres.ledger import prepare_rows
from adapters.postgres.orders import Orders
from adapters.postgres.pool import Pool, transaction
from adapters.postgres.subjects import subject
from domain.acts import ActAnswer, Candidate, RecordActs
from domain.case import CaseView, Deadline, OpenStep
from domain.effects import Effect
from domain.messages import ActBody, ActKind, SignedAct
from domain.money import Money
from domain.orders import PriceIn, PricesOrder, RateIn, RatesOrder
from domain.people import Identity
from domain.return_lead import (
    Authorisation,
    BillingState,
    Confirmation,
    Finding,
    Findings,
    LeadBilling,
    Reason,
    Verdict,
)
from domain.rules.acts import OWNERSHIP, subject_name
from domain.rules.stored_acts import Trust
from domain.texts import digest
from runtime.keys import Keyring, Signer, local_signer, ring_path, signed_act
from tests.conftest import Database

CASE = "return-lead/0123456789abcdef"
NOW = datetime(2026, 3, 10, 9, 0, tzinfo=UTC)
DEPLOYMENT = "test"
ISSUER = "https://login.example"
RETURN_LEADS, ACCOUNTS = "team:return-leads", "team:accounts"
# ann and bob investigate, mia manages them, carl and cora are Accounts, shobhit approves, pia is a partner, otto is
# somebody else.
PEOPLE = ("ann", "bob", "mia", "carl", "cora", "shobhit", "pia", "otto")
STEPS: dict[str, tuple[str, tuple[ActKind, ...], str]] = {
    "investigate": (RETURN_LEADS, (ActKind.FINDINGS,), "all"),
    "confirm": (RETURN_LEADS, (ActKind.CONFIRM,), "valid"),
    "needs-approval": (RETURN_LEADS, (ActKind.REDUCE,), "valid"),
    "authorise": (ACCOUNTS, (ActKind.AUTHORISE, ActKind.DECLINE), "issued"),
    "take-off": (ACCOUNTS, (ActKind.TAKEN_OFF,), "valid"),
    "allocate": (ACCOUNTS, (ActKind.ALLOCATED,), "issued"),
    "triage": (RETURN_LEADS, (ActKind.TRIAGE,), "step"),
    "approval": ("role:approver", (ActKind.APPROVE, ActKind.REJECT, ActKind.ASK_BACK), "valid"),
    "dispute": ("role:am", (ActKind.DECIDED,), "step"),
    "could-not": (RETURN_LEADS, (ActKind.DONE, ActKind.RESEND, ActKind.WAIVE), "step"),
}


def identity(person: str) -> Identity:
    return Identity(issuer=ISSUER, sub=person)


def open_step(step_id: str, name: str = "", **changes: Any) -> OpenStep:
    role, kinds, about = STEPS[name or step_id]
    line = Deadline(label="due", clause="RL-4", since=NOW, after=timedelta(hours=48), due=NOW + timedelta(hours=48))
    plain = OpenStep(
        step_id=step_id, name=name or step_id, clause="RL-4", kinds=tuple(kinds), role=role, subject=about,
        waiting_for="an answer", asked_at=NOW, deadline=line,
    )  # fmt: skip
    return plain.model_copy(update=changes)


def findings(valid: Sequence[str], refused: Sequence[str] = (), evidence: Sequence[str] = ()) -> Findings:
    return Findings(
        findings=tuple(
            Finding(
                lead_id=lead,
                verdict=Verdict.VALID if lead in valid else Verdict.NOT_VALID,
                reason=Reason.SPAM,
                text_sha256=digest(lead),
                evidence=tuple(evidence),
            )
            for lead in (*valid, *refused)
        )
    )


CONFIRMATION = Confirmation(preview_sha256=digest("preview"))


@dataclass
class Agency:
    """`acts` judges as the SOP worker, `gate` as the money worker: each under its own database role."""

    database: Database
    vault: Vault
    signer: Signer
    keys_dir: Path
    trust: Trust
    sops: Pool
    money: Pool
    acts: PostgresActs
    gate: PostgresGate
    orders: Orders
    version: int = 0

    async def add_client(self, client_id: str, contact_id: str) -> None:
        await self.database.execute(
            "INSERT INTO clients (client_id, name, contact_id) VALUES ($1, $1, $2)", client_id, contact_id
        )

    async def add_lead(
        self, lead_id: str, price: str | None = "100.00", client_id: str = "acme", currency: str = "GBP"
    ) -> None:
        await self.database.execute(
            "INSERT INTO leads (lead_id, client_id, received_at, price, currency) VALUES ($1, $2, $3, $4, $5)",
            lead_id, client_id, NOW, Decimal(price) if price else None, currency,
        )  # fmt: skip

    async def add_case(
        self, leads: Sequence[str], case_id: str = CASE, client_id: str = "acme", *, active: bool = True
    ) -> None:
        await self.database.execute(
            "INSERT INTO cases (case_id, workflow_id, kind, client_id, status) VALUES ($1, $1, 'rl', $2, 'open')",
            case_id, client_id,
        )  # fmt: skip
        for ordinal, lead_id in enumerate(leads, 1):
            await self.database.execute(
                "INSERT INTO case_leads (case_id, ordinal, lead_id, active) VALUES ($1, $2, $3, $4)",
                case_id, ordinal, lead_id, active,
            )  # fmt: skip

    async def bill(self, *billed: LeadBilling, case_id: str = CASE) -> None:
        for one in billed:
            await self.database.execute(
                "UPDATE case_leads SET billing = $3 WHERE case_id = $1 AND lead_id = $2",
                case_id, one.lead_id, one.model_dump(mode="json"),
            )  # fmt: skip

    async def prepare(self, *effects: Effect, case_id: str = CASE) -> None:
        async with transaction(self.sops) as conn:
            await prepare_rows(conn, case_id, effects)

    def view(self, *steps: OpenStep, case_id: str = CASE, client_id: str = "acme") -> CaseView:
        self.version += 1
        return CaseView(
            case_id=case_id, workflow_id=case_id, kind="ReturnLead", client_id=client_id, opened_at=NOW,
            steps=steps, version=self.version,
        )  # fmt: skip

    async def clock(self) -> int:
        return int(str(await self.database.value("SELECT floor(extract(epoch FROM holdfast_now()))::bigint")))

    async def sign(
        self,
        person: str,
        kind: ActKind,
        result: Any,
        *,
        step_id: str,
        case_id: str = CASE,
        signer: Signer | None = None,
        auth: str = "oidc",
        aged: int = 0,
        **changes: Any,
    ) -> SignedAct:
        """An act as the gateway would sign it, but for `changes` to its body."""
        async with transaction(self.sops) as conn:
            about = await subject(conn, case_id, subject_name(kind), step_id, self.trust)
        iat = await self.clock() - aged
        body = ActBody(
            kid="", jti=str(uuid4()), kind=kind.value, deployment=DEPLOYMENT, case_id=case_id, workflow_id=case_id,
            step_id=step_id, subject_sha256=about.sha256, payload_sha256="", actor=identity(person), auth=auth,
            auth_time=iat, iat=iat, exp=iat + 900,
        )  # fmt: skip
        return signed_act(signer or self.signer, body.model_copy(update=changes), result)

    async def record(
        self,
        step_id: str,
        *acts: SignedAct,
        name: str = "",
        then: Sequence[Effect] = (),
        problem: str = "",
        case_id: str = CASE,
        events: Sequence[Any] = (),
        **changes: Any,
    ) -> ActAnswer:
        step = open_step(step_id, name)
        request = RecordActs(
            case_id=case_id, workflow_id=case_id, step_id=step_id, kinds=step.kinds, role=step.role,
            subject=step.subject, events=tuple(events),
            candidates=tuple(Candidate(act=act, then=tuple(then), problem=problem) for act in acts),
            view=self.view(step, case_id=case_id), view_after=self.view(case_id=case_id),
        )  # fmt: skip
        return await self.acts.record(request.model_copy(update=changes))

    async def ask(self, step_id: str, name: str = "", case_id: str = CASE, **changes: Any) -> None:
        """Writes an open step into the tables, as the stage that asks does."""
        from adapters.postgres.cases import write_view  # noqa: PLC0415

        async with transaction(self.sops) as conn:
            await write_view(conn, self.view(open_step(step_id, name, **changes), case_id=case_id))

    async def does(
        self,
        person: str,
        kind: ActKind,
        result: Any,
        *,
        step_id: str = "",
        name: str = "",
        then: Sequence[Effect] = (),
        case_id: str = CASE,
    ) -> ActAnswer:
        """Asks, signs and records, and expects it to be accepted."""
        step_id = step_id or next(one for one, (_, kinds, _) in STEPS.items() if kind in kinds)
        if kind not in OWNERSHIP:
            await self.ask(step_id, name, case_id)
        act = await self.sign(person, kind, result, step_id=step_id, case_id=case_id)
        answer = await self.record(step_id, act, name=name, then=then, case_id=case_id)
        assert answer.accepted == 0, await self.refusals(case_id)
        return answer

    async def order(self, person: str, kind: ActKind, result: Any, /, **changes: Any) -> str:
        """Signs an order as the gateway would, but for `changes` to its body, and has it judged. Raises Refused."""
        present = await self.orders.present(result)
        iat = await self.clock()
        body = ActBody(
            kid="", jti=str(uuid4()), kind=kind.value, deployment=DEPLOYMENT, case_id="", workflow_id="", step_id="",
            subject_sha256=present.sha256, payload_sha256="", actor=identity(person), auth="oidc", auth_time=iat,
            iat=iat, exp=iat + 900,
        )  # fmt: skip
        signer = changes.pop("signer", self.signer)
        return await self.orders.record(signed_act(signer, body.model_copy(update=changes), result))

    async def rate(self, gbp: str, days_ago: int = 0, currency: Any = "EUR") -> None:
        """An exchange rate of a day that is past, signed by a partner."""
        today = await self.database.value("SELECT (holdfast_now() AT TIME ZONE 'Europe/London')::date")
        on = cast("date", today) - timedelta(days=days_ago)
        rates = RatesOrder(rates=(RateIn(currency=currency, on=on, gbp=Decimal(gbp)),))
        await self.order("pia", ActKind.IMPORT_RATES, rates)

    async def settled(self, valid: Sequence[str], case_id: str = CASE, refused: Sequence[str] = ()) -> None:
        """Findings by ann and a confirmation by bob."""
        await self.does("ann", ActKind.FINDINGS, findings(valid, refused), case_id=case_id)
        await self.does("bob", ActKind.CONFIRM, CONFIRMATION, case_id=case_id)

    async def authorised(self, case_id: str = CASE) -> None:
        await self.does("carl", ActKind.AUTHORISE, Authorisation(), case_id=case_id)

    async def refusals(self, case_id: str = CASE) -> Mapping[str, int]:
        query = "SELECT code, sum(times)::int AS times FROM act_refusals WHERE case_id = $1 GROUP BY code"
        return {row["code"]: row["times"] for row in await self.database.fetch(query, case_id)}

    async def stored(self, case_id: str = CASE) -> list[str]:
        rows = await self.database.fetch("SELECT kind FROM acts WHERE case_id = $1 ORDER BY seq", case_id)
        return [row["kind"] for row in rows]

    async def told(self, kind: str, case_id: str = CASE) -> int:
        query = "SELECT count(*)::int FROM case_events WHERE case_id = $1 AND kind = $2"
        return int(str(await self.database.value(query, case_id, kind)))


async def make_agency(database: Database, vault: Vault, folder: Path, *, local_counts: bool = False) -> Agency:
    keys_dir = folder / "keys"
    signer = local_signer(keys_dir)
    trust = Trust(Keyring(ring_path(keys_dir)), DEPLOYMENT, local_counts)
    sops, money = await database.pool("sops"), await database.pool("money")
    for person in PEOPLE:
        await database.execute(
            "INSERT INTO people (person_id, name, email, issuer, sub) VALUES ($1, $1, $1 || '@example.com', $2, $1)",
            person, ISSUER,
        )  # fmt: skip
    for person, manager in (("ann", False), ("bob", False), ("carl", False), ("mia", True)):
        await database.execute(
            "INSERT INTO memberships (person_id, role, manager) VALUES ($1, $2, $3)", person, RETURN_LEADS, manager
        )
    for role, person in ((ACCOUNTS, "carl"), (ACCOUNTS, "cora"), ("role:approver", "shobhit"), ("role:partner", "pia")):
        await database.execute(
            "INSERT INTO money_people (role, issuer, sub, name) VALUES ($1, $2, $3, $3)", role, ISSUER, person
        )
    await database.execute("UPDATE outbound SET mode = 'on'")
    made = Agency(
        database, vault, signer, keys_dir, trust, sops, money,
        PostgresActs(sops, vault, trust), PostgresGate(money, vault, trust),
        Orders(await database.pool("door"), vault, trust),
    )  # fmt: skip
    await made.add_client("acme", "c-1")
    return made


def prices(lead_id: str, price: str) -> PricesOrder:
    return PricesOrder(prices=(PriceIn(lead_id=lead_id, price=Money(amount=Decimal(price))),))


def issued(lead_id: str, gross: str, invoice: str = "inv-1", **changes: Any) -> LeadBilling:
    net = (Decimal(gross) / Decimal("1.2")).quantize(Decimal("0.01"))
    return LeadBilling(
        lead_id=lead_id, state=BillingState.ISSUED, invoice_id=invoice, invoice_number=invoice.upper(), line_id="1",
        gross=Decimal(gross), net=net,
    ).model_copy(update=changes)  # fmt: skip


def unbilled(lead_id: str, gross: str = "100.00", **changes: Any) -> LeadBilling:
    plain = LeadBilling(lead_id=lead_id, state=BillingState.UNBILLED, gross=Decimal(gross))
    return plain.model_copy(update=changes)
