"""The doors of the Return Lead SOP: an e-mail in the inbox (RL-1), or a request opened by hand or by code."""

from collections.abc import Callable
from email.utils import parseaddr

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from adapters.postgres.crypto import Vault
from adapters.postgres.intake import Arrival, Once, PostgresIntake
from adapters.postgres.pool import Pool
from domain import ids
from domain.errors import Refused
from domain.intake import Acceptance, Decision, Known, NewCase, Sought
from domain.mail import IncomingMail, lead_id
from domain.return_lead import Doubt, LoopIn
from domain.texts import canonical, clean, digest
from domain.thread import CaseThread
from runtime.settings import Settings
from starter.intake_rules import decide, sought
from starter.mime.message import parse

MOST_LEADS = 500
_UNTRUSTED = {Doubt.SENDER_UNKNOWN, Doubt.SENDER_UNAUTHENTICATED, Doubt.ORIGINAL_UNREADABLE}


class OpenReturn(BaseModel):
    """A request without an e-mail. `reference` is the caller's own: the same one again is the same request.

    `reply_to` is the client's address to answer to, needed where he has several; `recipients` get the answer in copy.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    client_id: str = Field(min_length=1, max_length=100)
    leads: tuple[str, ...] = Field(min_length=1, max_length=MOST_LEADS, strict=False)
    reference: str = Field(min_length=1, max_length=200)
    note: str = Field(default="", max_length=5_000)
    reply_to: str = Field(default="", max_length=254)
    recipients: tuple[str, ...] = Field(default=(), max_length=50, strict=False)


class Door:
    """Accepts or refuses; what it accepted is committed when it answers."""

    def __init__(self, pool: Pool, vault: Vault, settings: Settings) -> None:
        self._settings = settings
        self.intake = PostgresIntake(pool, vault, settings)

    async def accept_mail(self, raw: bytes, *, oversize: bool = False) -> Acceptance:
        """Takes one message over. What can't be read or trusted becomes a person's step; nothing is sent back.

        `oversize`: `raw` is the headers alone. The same bytes again are the same delivery.
        """
        arrival = Arrival("mail", digest(raw), raw)
        staff = await self.intake.staff_domains()
        try:
            mail = parse(raw, authserv_id=self._settings.imap_authserv_id, staff_domains=staff)
        except Refused as error:
            return await self.intake.accept(arrival, Sought(sender=""), _unreadable(arrival, error))
        return await self.intake.accept(arrival, sought(mail), self._judge(mail, arrival, oversize=oversize))

    def _judge(self, mail: IncomingMail, arrival: Arrival, *, oversize: bool) -> Callable[[Known], Decision]:
        def judge(known: Known) -> Decision:
            decision = decide(mail, known, arrival.event_id, self._settings.returns_inbox.lower())
            return _too_large(decision) if oversize and decision.opens else decision

        return judge

    async def open_return(self, data: object, once: Once | None = None, by: str = "") -> Acceptance:
        """Opens a request by hand or by code, with a copy in the inbox (RL-1). Raises Refused, with nothing changed.

        `once`: the caller's own name for this delivery, beside the request's reference. `by`: who opens it, as
        the audit trail calls them.
        """
        request = read_request(data)
        reply_to = await self._reply_to(request)
        arrival = Arrival("reference", request.reference, canonical(request.model_dump(mode="json")).encode())

        def judge(known: Known) -> Decision:
            return Decision(opens=_opened(request, reply_to, known).model_copy(update={"opened_by": by}))

        return await self.intake.accept(arrival, Sought(sender="", original_sender=reply_to), judge, once)

    async def _reply_to(self, request: OpenReturn) -> str:
        known = await self.intake.addresses_of(request.client_id)
        if request.reply_to:
            if request.reply_to not in known:
                raise Refused("unknown-address", f"reply_to is not an address of {request.client_id}")
            return request.reply_to
        if len(known) != 1:
            why = "has several addresses" if known else "has no address on record"
            raise Refused("reply-to-missing", f"{request.client_id} {why}: name the one to answer to as reply_to")
        return known[0]


def read_request(data: object) -> OpenReturn:
    """The request, its lead ids upper case. Raises Refused."""
    try:
        request = OpenReturn.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "the request"
        raise Refused("bad-request", f"{place}: {first['msg']}") from None
    leads = tuple(_lead(one) for one in request.leads)
    cleaned = {name: clean(getattr(request, name), name) for name in ("client_id", "reference", "note")}
    addresses = {"reply_to": _address(request.reply_to), "recipients": tuple(map(_address, request.recipients))}
    return request.model_copy(update=cleaned | addresses | {"leads": leads})


def case_of_return(data: object) -> str:
    """The case that a request without an e-mail opens. Raises Refused."""
    return ids.return_lead_case(f"reference|{read_request(data).reference}")


def _lead(text: str) -> str:
    found = lead_id(text)
    if not found:
        raise Refused("bad-lead-id", f"{clean(text[:40], 'a lead id')!r} is not a lead id such as L-1001")
    return found


def _address(text: str) -> str:
    address = text.strip().lower()
    if address and (parseaddr(address)[1] != address or address.count("@") != 1 or not address.isprintable()):
        raise Refused("bad-address", "an e-mail address is malformed: write it as name@example.com")
    return address


def _opened(request: OpenReturn, reply_to: str, known: Known) -> NewCase:
    thread = CaseThread(
        sender=reply_to,
        cc=request.recipients,
        subject=f"Your returned leads ({request.reference})",
        arrived_at=known.now,
        text=request.note,
    )
    return NewCase(
        case_id=case_of_return(request),
        client_id=request.client_id,
        loop_in=LoopIn.NONE,
        leads=request.leads,
        file_copy=True,
        reference=request.reference,
        note=request.note,
        thread=thread,
    )


def _unreadable(arrival: Arrival, error: Refused) -> Callable[[Known], Decision]:
    """Nothing of it can be trusted, but somebody may wait for an answer: a person looks."""
    opens = NewCase(
        case_id=ids.return_lead_case(arrival.event_id),
        client_id="",
        doubt=Doubt.UNREADABLE_MAIL,
        problems=(str(error),),
    )
    return lambda _: Decision(code=error.code, opens=opens)


def _too_large(decision: Decision) -> Decision:
    """Of a message that was not downloaded only the headers count: no leads, and a person looks."""
    if decision.opens is None:
        return decision
    doubt = decision.opens.doubt if decision.opens.doubt in _UNTRUSTED else Doubt.UNREADABLE_MAIL
    problem = "the e-mail is larger than 10 MB, so only its headers were read"
    opens = decision.opens.model_copy(update={"doubt": doubt, "leads": (), "problems": (problem,)})
    return decision.model_copy(update={"code": "too-large", "opens": opens})
