"""Month end: what the books are checked against, and what is found in them (RL-11, RL-13)."""

from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field

from domain.books import InvoiceStatus, NoteStatus
from domain.case import Model, Request
from domain.money import Currency

BOOKS_CHECK = "BooksCheck"
INVOICED = "InvoicedAllTheSame"
UNCONFIRMED = "UnconfirmedCreditNote"
HOW_FAR_BACK = timedelta(days=400)
INVOICE_DAYS = (1, *range(26, 32))
"""Days of the month on which invoices are made, unless the policy `invoice-days` says otherwise: the first, and those
among which the last working day is.
"""


class Promise(Model):
    """A lead of which the client was told that it is not charged. `case_id` is the case in which it was."""

    lead_id: str
    case_id: str


class CheckedClient(Model):
    """A client with a contact in the books. `today` is the database's, in London."""

    client_id: str
    contact_id: str
    today: date
    promises: tuple[Promise, ...] = ()


class Confirmed(Model):
    """What is on record for a client: the leads that were granted, and the numbers of our own credit notes."""

    lead_ids: frozenset[str] = frozenset()
    numbers: frozenset[str] = frozenset()


class Charge(Model):
    """A promised lead that the books charge all the same: on these invoices, in this state (the weightiest one's)."""

    what: Literal["charge"] = "charge"
    lead_id: str
    promised_in: str  # case id
    invoices: tuple[str, ...]  # numbers
    state: InvoiceStatus
    gross: Decimal  # what is charged and not credited
    currency: Currency
    invoice_id: str = ""  # the one issued or paid invoice that charges it whole; "": Accounts credit it by hand


class StrangeNote(Model):
    """A credit note that nobody's confirmation is on record for. `lead_ids` are those that were never granted."""

    what: Literal["note"] = "note"
    note_id: str
    number: str
    status: NoteStatus
    total: Decimal
    currency: Currency
    lead_ids: tuple[str, ...] = ()


BooksFinding = Annotated[Charge | StrangeNote, Field(discriminator="what")]


class BooksCheckRequest(Model):
    """Input of `BooksCheck`. What is checked is in the tables."""

    client_id: str = ""  # only this client; "": all


class BooksChecked(Model):
    """Outcome of one check. `opened`: the cases that were not there before."""

    clients: int = 0
    charged: int = 0
    unconfirmed: int = 0
    opened: int = 0


class InvoicedRequest(Request):
    """Input of `InvoicedAllTheSame`."""

    charge: Charge


class UnconfirmedRequest(Request):
    """Input of `UnconfirmedCreditNote`."""

    note: StrangeNote


class BooksOutcome(Model):
    status: str


class ListedLead(Model):
    """A line of the do-not-invoice list (RL-11)."""

    lead_id: str
    client_id: str
    client_name: str
    received_at: datetime
    since: datetime
    case_id: str
