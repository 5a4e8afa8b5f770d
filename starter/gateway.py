"""The gateway: authenticates a person, computes what they decide about, signs their act, and sends the signal.

The only holder of the private key. What is signed comes from the tables, never from a form, a query or a view.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from pydantic import JsonValue
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from adapters.postgres.crypto import Vault
from adapters.postgres.desk import Desk, DeskStep, Outcome
from adapters.postgres.orders import Orders
from adapters.postgres.pool import Pool
from domain.errors import Refused
from domain.messages import ActBody, ActKind, Auth, SignedAct
from domain.people import Identity, Person
from domain.rules.acts import OWNERSHIP, barred_to_machines, fingerprint, lifetime, refuse
from domain.rules.authority import ACT_RULES, MONEY_LOGIN, ORDERS, may_sign
from domain.rules.stored_acts import Trust
from domain.subject import Subject
from runtime.keys import Keyring, Signer, load_signer, local_signer, ring_path, signed_act
from runtime.settings import Settings
from starter.evidence_types import type_of
from starter.results import Given, read_finding, read_result

MOST_EVIDENCE_BYTES = 5_000_000
_PATIENCE = timedelta(seconds=10)
_LONGEST_PAUSE = 1.0


@dataclass(frozen=True)
class LocalLogin:
    """Whoever sits at this machine, by person id. Counts only where every vendor is a stand-in on loopback."""

    person_id: str


@dataclass(frozen=True)
class Login:
    """A person the identity provider vouches for. `auth_time`: when they last typed their password."""

    identity: Identity
    auth: Auth
    auth_time: datetime


@dataclass(frozen=True)
class Prepared:
    """What an act would be about, and why it would be refused now ("" if nothing speaks against it)."""

    step: DeskStep
    kind: ActKind
    subject: Subject
    code: str = ""


@dataclass(frozen=True)
class Sendable:
    """A signed act and the step it is for."""

    step: DeskStep
    act: SignedAct
    jti: str


@dataclass(frozen=True)
class Signed(Sendable):
    """An act ready to be sent, by us or pasted into the Temporal UI as the argument of a signal `act`."""

    subject: Subject


@dataclass(frozen=True)
class Answer:
    """What became of what a person did. `waiting`: it was sent, and will be judged as soon as the workers are back."""

    signed: Signed
    outcome: Outcome


class Gateway:
    """Raises Refused `local-mode-with-real-vendors` rather than start where acts signed locally could reach them."""

    def __init__(self, pool: Pool, vault: Vault, client: Client, settings: Settings) -> None:
        local = settings.mode == "local"
        if local and not settings.vendors_are_loopback:
            raise Refused(
                "local-mode-with-real-vendors",
                "This is local mode, where anybody at the machine may sign, but a vendor address is not on loopback. "
                "Set HOLDFAST_MODE=production, or take the address out.",
            )
        self._signer: Signer = (local_signer if local else load_signer)(settings.keys_dir)
        self._deployment = settings.deployment
        self._local_counts = local
        trust = Trust(Keyring(ring_path(settings.keys_dir)), settings.deployment, local)
        self._desk = Desk(pool, vault, trust)
        self._orders = Orders(pool, vault, trust)
        self._client = client

    async def prepare(self, case_id: str, step_id: str, kind: str, by: LocalLogin | Login) -> Prepared:
        """What this person would decide about. Raises Refused `unknown-case`, `unknown-step` or `unknown-kind`."""
        step, wanted = await self._desk.step(case_id, step_id), _kind(kind)
        login = await self._login(by)
        about, code = await self._desk.foresee(step, wanted, login.identity, None, await self._desk.now())
        return Prepared(step, wanted, about, self._unasked(step, wanted, login) or code)

    async def about(self, case_id: str, step_id: str, kind: str) -> Subject:
        """What an act of this kind decides about, as it stands. Raises Refused `unknown-case` or `unknown-step`."""
        return await self._desk.subject(await self._desk.step(case_id, step_id), _kind(kind))

    async def person(self, person_id: str) -> Person:
        """Raises Refused `unknown-person`."""
        return await self._desk.person(person_id)

    async def sign(
        self,
        case_id: str,
        step_id: str,
        kind: str,
        payload: Mapping[str, Any],
        by: LocalLogin | Login,
        shown: str = "",
    ) -> Signed:
        """Checks everything that will be checked again, and signs. Raises Refused; nothing is signed then.

        `shown`: the SHA-256 of the subject that the person was shown (`Prepared.subject.sha256`); if it is another one
        by now, `subject-changed`. A confirmation without a preview is one of its subject alone.
        """
        step, wanted = await self._desk.step(case_id, step_id), _kind(kind)
        if wanted is ActKind.CONFIRM and not payload:
            payload = {"preview_sha256": (await self._desk.subject(step, wanted)).sha256}
        login, given = await self._login(by), read_result(wanted, payload)
        if code := self._unasked(step, wanted, login):
            raise refuse(code)
        now = await self._desk.now()
        about, code = await self._desk.foresee(step, wanted, login.identity, given.result, now)
        if shown and shown != about.sha256:
            raise refuse("subject-changed")
        if code or (code := _stale(wanted, login, now)):
            raise refuse(code)
        await self._keep(step, given)
        body = self._body(step, wanted, login, about, now)
        return Signed(step, signed_act(self._signer, body, given.result), body.jti, about)

    async def complete(
        self,
        case_id: str,
        step_id: str,
        kind: str,
        payload: Mapping[str, Any],
        by: LocalLogin | Login,
        *,
        shown: str = "",
        patience: timedelta = _PATIENCE,
    ) -> Answer:
        """Signs, sends, and waits until it is judged. Raises Refused before anything is signed. `shown`: see `sign`."""
        answer = await self.settle(await self.sign(case_id, step_id, kind, payload, by, shown), patience)
        if answer.outcome.accepted and kind == ActKind.FINDINGS:
            await self._desk.clear_draft(answer.signed.step)
        return answer

    async def settle(self, signed: Signed, patience: timedelta = _PATIENCE) -> Answer:
        """Sends what was signed, and waits until it is judged. Raises Refused `case-not-running`."""
        await self.send(signed)
        return Answer(signed, await self.outcome(signed, patience))

    async def order(self, kind: str, payload: Mapping[str, Any], by: LocalLogin | Login) -> str:
        """Signs an order about the deployment (`policy.set`, `prices.set` and their like) and puts it in force.

        Returns its number. Raises Refused; nothing is changed then.
        """
        wanted, login = _kind(kind), await self._login(by)
        given, now = read_result(wanted, payload), await self._desk.now()
        code = may_sign(wanted, login.auth, local_counts=self._local_counts) if wanted in ORDERS else "unknown-kind"
        code = code or await self._orders.refusal(given.result, login.identity) or _stale(wanted, login, now)
        if code:
            raise refuse(code)
        present = await self._orders.present(given.result)
        body = self._signed_by(wanted, login, now).model_copy(update={"subject_sha256": present.sha256})
        return await self._orders.record(signed_act(self._signer, body, given.result))

    async def put_down(
        self, case_id: str, step_id: str, finding: Mapping[str, Any], by: LocalLogin | Login
    ) -> tuple[int, int]:
        """One lead's finding for later: how many there are now, out of how many. Nothing is signed yet."""
        prepared = await self.prepare(case_id, step_id, ActKind.FINDINGS, by)
        if prepared.code:
            raise refuse(prepared.code)
        one, leads = read_finding(finding), prepared.subject.lead_ids
        if one.lead_id not in leads:
            raise Refused("unknown-lead", f"{one.lead_id} is not one of the leads this step is about.")
        so_far = await self._desk.put_down(prepared.step, one.lead_id, one.model_dump(mode="json"))
        return so_far, len(leads)

    async def drafted(self, case_id: str, step_id: str) -> dict[str, dict[str, JsonValue]]:
        """The findings put down so far, by lead id."""
        return await self._desk.draft(await self._desk.step(case_id, step_id))

    async def complete_drafted(self, case_id: str, step_id: str, by: LocalLogin | Login) -> Answer:
        """Signs the findings put down lead by lead. Raises Refused `leads-do-not-fit` while some are missing."""
        found = list((await self.drafted(case_id, step_id)).values())
        return await self.complete(case_id, step_id, ActKind.FINDINGS, {"findings": found}, by)

    async def keep_evidence(
        self, case_id: str, step_id: str, content: bytes, by: LocalLogin | Login, *, name: str
    ) -> str:
        """Keeps a piece of evidence, sealed, and returns the SHA-256 by which findings name it.

        Raises Refused `evidence-size` or `evidence-type`, whichever door it comes through.
        """
        prepared = await self.prepare(case_id, step_id, ActKind.FINDINGS, by)
        if prepared.code:
            raise refuse(prepared.code)
        if not content or len(content) > MOST_EVIDENCE_BYTES:
            raise Refused("evidence-size", f"Evidence has between 1 and {MOST_EVIDENCE_BYTES:,} bytes.")
        return await self._desk.keep_evidence(prepared.step.client_id, content, type_of(content, name), name[:200])

    async def resume(self, case_id: str, step_id: str, act: SignedAct) -> tuple[str, Outcome]:
        """An act signed before: its number, and what became of it; sent once more if nobody has judged it yet.

        Raises Refused `case-not-running`.
        """
        kept = Sendable(await self._desk.step(case_id, step_id), act, ActBody.model_validate_json(act.body).jti)
        found = await self.outcome(kept, timedelta())
        if found.state == "waiting":
            await self.send(kept)
            found = await self.outcome(kept)
        return kept.jti, found

    async def send(self, signed: Sendable) -> None:
        """Signals the case's workflow. Raises Refused `case-not-running`."""
        handle = self._client.get_workflow_handle(signed.step.workflow_id)
        try:
            await handle.signal("act", signed.act)
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
            raise Refused("case-not-running", f"Case {signed.step.case_id} is not running any more.") from None

    async def outcome(self, signed: Sendable, patience: timedelta = _PATIENCE) -> Outcome:
        """Polls the tables until the act is judged, or patience ends (`waiting`)."""
        loop = asyncio.get_running_loop()
        until, pause = loop.time() + patience.total_seconds(), 0.02
        while True:
            found = await self._desk.outcome(signed.step.case_id, signed.jti, fingerprint(signed.act))
            if found.state != "waiting" or loop.time() >= until:
                return found
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    async def _login(self, by: LocalLogin | Login) -> "Login | _Local":
        if isinstance(by, Login):
            if by.auth is Auth.LOCAL:
                raise refuse("auth-not-allowed")
            return by
        if not self._local_counts:
            raise refuse("auth-not-allowed")
        return _Local((await self._desk.person(by.person_id)).identity)

    def _unasked(self, step: DeskStep, kind: ActKind, login: "Login | _Local") -> str:
        """Why this step does not take such an act from whoever signed in this way; "" if it does."""
        if code := may_sign(kind, login.auth, local_counts=self._local_counts):
            return code
        if kind is ActKind.WITHDRAW:
            return "" if ActKind.APPROVE in step.kinds else "kind-not-asked"
        if code := barred_to_machines(kind, login.auth, step.kinds):
            return code
        if not step.is_open:
            return "step-already-done"
        return "" if kind in OWNERSHIP or kind in step.kinds else "kind-not-asked"

    async def _keep(self, step: DeskStep, given: Given) -> None:
        if missing := await self._desk.missing_texts(step.client_id, given.evidence):
            raise Refused("unknown-evidence", f"No evidence {missing[0][:12]}... was uploaded for this client.")
        await self._desk.keep_texts(step.client_id, given.texts)

    def _body(self, step: DeskStep, kind: ActKind, login: "Login | _Local", about: Subject, now: int) -> ActBody:
        where = {"case_id": step.case_id, "workflow_id": step.workflow_id, "step_id": step.step_id}
        return self._signed_by(kind, login, now).model_copy(update={**where, "subject_sha256": about.sha256})

    def _signed_by(self, kind: ActKind, login: "Login | _Local", now: int) -> ActBody:
        return ActBody(
            kid=self._signer.kid,
            jti=str(uuid4()),
            kind=kind.value,
            deployment=self._deployment,
            case_id="",
            workflow_id="",
            step_id="",
            subject_sha256="",
            payload_sha256="",
            actor=login.identity,
            auth=login.auth.value,
            auth_time=_auth_time(login, now),
            iat=now,
            exp=now + int(lifetime(kind).total_seconds()),
        )


@dataclass(frozen=True)
class _Local:
    """A login at this machine: as fresh as the act itself."""

    identity: Identity
    auth: Auth = Auth.LOCAL


def _auth_time(login: Login | _Local, now: int) -> int:
    return int(login.auth_time.timestamp()) if isinstance(login, Login) else now


def _stale(kind: ActKind, login: Login | _Local, now: int) -> str:
    """Money is signed only freshly logged in."""
    age = now - _auth_time(login, now)
    if age < 0:
        return "issued-in-the-future"
    return "login-too-old" if ACT_RULES[kind].money and age > MONEY_LOGIN.total_seconds() else ""


def _kind(kind: str) -> ActKind:
    try:
        return ActKind(kind)
    except ValueError:
        raise refuse("unknown-kind") from None
