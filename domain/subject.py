"""What a person decides about, as it is signed: lines and amounts out of the tables, in one exact form."""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Literal

from domain.case import Model
from domain.ids import credit_note_number
from domain.money import Currency, Vat
from domain.return_lead import BillingState, LeadBilling
from domain.texts import canonical, digest

SetName = Literal["all", "valid", "open", "issued", "refused", "approval", "step"]


class SubjectLine(Model):
    """One lead. `gross` is what would be granted; how (no charge, credit note) the books decide when it is done."""

    lead_id: str
    gross: Decimal | None = None
    net: Decimal | None = None
    currency: Currency = "GBP"
    invoice_id: str = ""
    invoice_number: str = ""
    evidence: tuple[str, ...] = ()


class SubjectNote(Model):
    """A credit note that would be authorised; `total` is gross."""

    number: str
    invoice_id: str
    invoice_number: str
    total: Decimal
    currency: Currency


class EarlierGrant(Model):
    """A lead of the client that another case was granted: this month, or earlier on an invoice that is in question."""

    case_id: str
    lead_id: str
    gross: Decimal
    currency: str
    gbp: Decimal
    approved: bool


class Asking(Model):
    """Why an approver is asked and what he decides beside, as it was shown to him. `total_gbp` None: no valid rate."""

    why: str
    total_gbp: Decimal | None
    granted_gbp: Decimal  # without an approver's signature: what counts together with the total
    limit_gbp: Decimal
    vat: Vat = "with"
    rules: int
    granted: tuple[EarlierGrant, ...] = ()

    @property
    def sum_gbp(self) -> Decimal | None:
        """What a stand-in's ceiling is compared with."""
        return None if self.total_gbp is None else self.total_gbp + self.granted_gbp


class Subject(Model):
    case_id: str
    of: SetName
    client_id: str = ""
    contact_id: str = ""
    step_id: str = ""
    reference: str = ""
    lines: tuple[SubjectLine, ...] = ()
    notes: tuple[SubjectNote, ...] = ()
    asking: Asking | None = None

    @property
    def json_text(self) -> str:
        """Its one exact form: what is signed is the SHA-256 of these bytes."""
        return canonical(self.model_dump(mode="json", exclude=None if self.asking else {"asking"}))

    @property
    def sha256(self) -> str:
        return digest(self.json_text)

    @property
    def lead_ids(self) -> tuple[str, ...]:
        return tuple(line.lead_id for line in self.lines)

    def on_invoice(self, invoice_id: str) -> tuple[SubjectLine, ...]:
        return tuple(line for line in self.lines if line.invoice_id == invoice_id)


def line_of(lead_id: str, billing: LeadBilling | None, evidence: tuple[str, ...]) -> SubjectLine:
    """The line of a valid lead as it was last read from the books."""
    if billing is None:
        return SubjectLine(lead_id=lead_id, evidence=evidence)
    return SubjectLine(
        lead_id=lead_id,
        gross=billing.gross,
        net=billing.net,
        currency=billing.currency,
        invoice_id=billing.invoice_id,
        invoice_number=billing.invoice_number,
        evidence=evidence,
    )


def is_issued(billing: LeadBilling | None) -> bool:
    return billing is not None and billing.state in {BillingState.ISSUED, BillingState.PAID}


def notes_of(
    case_id: str, lines: Iterable[SubjectLine], turns: Mapping[str, int] | None = None
) -> tuple[SubjectNote, ...]:
    """One credit note an invoice and confirmation, for exactly these lines. `turns`: the confirmation that the note of
    each lead rests on, if not the first.
    """
    by_note: dict[tuple[str, int], list[SubjectLine]] = {}
    for line in lines:
        by_note.setdefault((line.invoice_id, (turns or {}).get(line.lead_id, 1)), []).append(line)
    return tuple(_note(case_id, on_it, turn) for (_, turn), on_it in by_note.items())


def _note(case_id: str, lines: list[SubjectLine], turn: int) -> SubjectNote:
    first = lines[0]
    return SubjectNote(
        number=credit_note_number(case_id, first.invoice_number, turn),
        invoice_id=first.invoice_id,
        invoice_number=first.invoice_number,
        total=sum((line.gross or Decimal(0) for line in lines), Decimal(0)),
        currency=first.currency,
    )
