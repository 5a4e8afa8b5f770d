"""A loopback stand-in of Xero's Accounting API 2.0: sales invoices to read; credit notes to read, create and authorise.

`python -m simulators.xero --port N --state FILE`, or `async with xero_simulator() as xero:` inside a test.
"""

import hashlib
import re
import sys
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

from runtime import exact_json
from simulators.base import TOKEN, Answer, BadSwitchError, Call, Simulator, main, serving
from simulators.xero_rules import (
    InvalidError,
    UnreadableError,
    day_of,
    guid,
    read_fields,
    reckoned,
    selector,
    totals,
    xero_date,
    xero_now,
)

TENANT = "simulator"

_PREFIX = "/api.xro/2.0"
_KINDS = {"Invoices": ("InvoiceID", "InvoiceNumber"), "CreditNotes": ("CreditNoteID", "CreditNoteNumber")}
_MOVES = {
    "DRAFT": {"DRAFT", "SUBMITTED", "AUTHORISED", "DELETED"},
    "SUBMITTED": {"DRAFT", "SUBMITTED", "AUTHORISED", "DELETED"},
    "AUTHORISED": {"AUTHORISED", "VOIDED"},
    "PAID": set[str](),
    "VOIDED": set[str](),
    "DELETED": set[str](),
}
_LONGEST_KEY = 128
_MOST_PER_PAGE = 1000
_NOT_FOUND = Answer(404, b"The resource you're looking for cannot be found")


class XeroSimulator(Simulator):
    """`state` holds contacts, Invoices and CreditNotes by id, in Xero's wire shape; `rate_limit` is per minute."""

    name = "Xero"

    def __init__(
        self, *, state_file: Path | None = None, token: str = TOKEN, tenant: str = TENANT, rate_limit: int | None = None
    ) -> None:
        self.tenant = tenant
        super().__init__(state_file=state_file, token=token, rate_limit=rate_limit)

    def fresh(self) -> dict[str, Any]:
        return {"contacts": {}, "Invoices": {}, "CreditNotes": {}, "idempotency": {}}

    @property
    def invoices(self) -> list[dict[str, Any]]:
        return list(self.state["Invoices"].values())

    @property
    def credit_notes(self) -> list[dict[str, Any]]:
        return list(self.state["CreditNotes"].values())

    def respond(self, call: Call) -> Answer:
        refusal = self._refusal(call)
        if refusal is not None:
            return refusal
        try:
            return self._idempotent(call)
        except InvalidError as error:
            return _invalid(str(error))
        except UnreadableError as error:
            return Answer(400, {"ErrorNumber": 16, "Type": "QueryParseException", "Message": str(error)})

    def failure(self, status: int) -> Answer:
        if status == 429:  # noqa: PLR2004
            return Answer(429, headers={"retry-after": "7", "x-rate-limit-problem": "minute"})
        return Answer(status, {"ErrorNumber": status, "Type": "InternalError", "Message": "An error occurred in Xero."})

    def load(self, seed: dict[str, Any]) -> object:
        """`{"contacts": [{ContactID, Name}], "invoices": [...], "credit_notes": [...]}`; totals are made here."""
        for contact in seed.get("contacts", []):
            self._contact(contact)
        try:
            invoices = [self._seeded("Invoices", document) for document in seed.get("invoices", [])]
            notes = [self._seeded("CreditNotes", document) for document in seed.get("credit_notes", [])]
        except InvalidError as error:
            raise BadSwitchError(str(error)) from error
        return {"invoices": invoices, "credit_notes": notes}

    def change(self, edit: dict[str, Any]) -> object:
        """A person's edit in Xero's own pages, by `op`: see `_edit`; or `rate_limit` and `forget_idempotency_keys`."""
        op = edit.pop("op")
        if op == "rate_limit":
            self.rate_limit = edit["per_minute"]
        elif op == "forget_idempotency_keys":
            self.state["idempotency"].clear()
        else:
            try:
                return self._edit(op, **edit)
            except InvalidError as error:
                raise BadSwitchError(str(error)) from error
        return {}

    def _edit(self, op: str, number: str, **what: Any) -> dict[str, Any]:
        kind = "CreditNotes" if "credit_note" in op else "Invoices"
        document = self._find(kind, number)
        if document is None:
            raise BadSwitchError(f"no document {number}")
        match op:
            case "edit_credit_note" | "edit_invoice":
                self._overwrite(document, read_fields(kind, what["set"]))
            case "set_invoice_status" | "set_credit_note_status":
                document |= read_fields(kind, {"Status": what["status"]})
            case "allocate_credit_note":
                document |= {"RemainingCredit": 0, "Status": "PAID"}
            case "add_invoice_line":
                added = read_fields(kind, {"LineItems": [what["line"]]})["LineItems"]
                self._overwrite(document, {"LineItems": [*_bare_lines(document), *added]})
            case "remove_invoice_line":
                kept = [line for line in _bare_lines(document) if line["LineItemID"] != what["line_id"]]
                self._overwrite(document, {"LineItems": kept})
            case _:
                raise BadSwitchError(f"no edit {op}")
        return document

    def _refusal(self, call: Call) -> Answer | None:
        if call.headers.get("authorization") != f"Bearer {self.token}":
            return _unauthorised(401, "Unauthorized", "AuthenticationUnsuccessful")
        if call.headers.get("xero-tenant-id") != self.tenant:
            return _unauthorised(403, "Forbidden", "AuthenticationUnsuccessful")
        if self.over_limit():
            return Answer(429, headers={"retry-after": str(self.wait), "x-rate-limit-problem": "minute"})
        if call.malformed:
            return Answer(400, {"ErrorNumber": 14, "Type": "PostDataInvalidException", "Message": "JSON was invalid"})
        return None

    def _idempotent(self, call: Call) -> Answer:
        key = call.headers.get("idempotency-key")
        if call.method == "GET" or key is None:
            return self._routed(call)
        if not 0 < len(key) <= _LONGEST_KEY:
            raise InvalidError("The Idempotency-Key must be 1 to 128 characters")
        print_of = hashlib.sha256(f"{call.method} {call.path}\n".encode() + call.raw).hexdigest()
        kept = self.state["idempotency"].get(key)
        if kept is None:
            answer = self._routed(call)
            if answer.status == 200:  # noqa: PLR2004
                self.state["idempotency"][key] = {"print": print_of, "body": answer.body}
            return answer
        if kept["print"] != print_of:
            raise InvalidError("The Idempotency-Key has been used with a different request")
        return Answer(200, kept["body"], "replayed")

    def _routed(self, call: Call) -> Answer:
        found = re.fullmatch(rf"{re.escape(_PREFIX)}/(Invoices|CreditNotes)(?:/([^/]+))?", call.path)
        if found is None:
            return _NOT_FOUND
        kind, one = found.groups()
        match call.method:
            case "GET":
                return self._list(kind, call) if one is None else self._one(kind, one)
            case "PUT" if kind == "CreditNotes" and one is None:
                return self._create(call)
            case "POST" if kind == "CreditNotes" and one is not None:
                return self._update(one, call)
            case _:
                return Answer(405, b"Method not allowed")

    def _one(self, kind: str, key: str) -> Answer:
        document = self._find(kind, key)
        return _NOT_FOUND if document is None else Answer(200, _listing(kind, [document]), "read")

    def _list(self, kind: str, call: Call) -> Answer:
        wanted = selector(call.query.get("where", ""))
        contacts = [guid(one) for one in call.query.get("ContactIDs", "").split(",") if one]
        statuses = [status for status in call.query.get("Statuses", "").split(",") if status]
        found = [
            document
            for document in self.state[kind].values()
            if wanted(document)
            and (not contacts or document["Contact"]["ContactID"] in contacts)
            and (not statuses or document["Status"] in statuses)
        ]
        if "page" not in call.query:
            return Answer(200, _listing(kind, [{**document, "LineItems": []} for document in found]), "read")
        page, size = _whole(call, "page", 1), _whole(call, "pageSize", 100)
        body = _listing(kind, found[(page - 1) * size : page * size])
        body["pagination"] = _pagination(page, size, len(found))
        return Answer(200, body, "read")

    def _create(self, call: Call) -> Answer:
        notes = [self._new_note(fields, _places(call)) for fields in _documents(call)]
        numbers = [note["CreditNoteNumber"] for note in notes]
        if len(set(numbers)) < len(numbers):
            raise InvalidError("Credit note number is given twice")
        for note in notes:
            self.state["CreditNotes"][note["CreditNoteID"]] = note
        return Answer(200, _listing("CreditNotes", notes), "created", changed=True)

    def _new_note(self, fields: dict[str, Any], places: int) -> dict[str, Any]:
        if fields.get("Type") != "ACCRECCREDIT":
            raise InvalidError("Type must be ACCRECCREDIT")
        if "CreditNoteID" in fields:
            raise InvalidError("CreditNoteID cannot be given to a new credit note")
        if fields.get("Status", "DRAFT") not in {"DRAFT", "SUBMITTED", "AUTHORISED"}:
            raise InvalidError("A new credit note cannot have this status")
        note_number = fields.get("CreditNoteNumber") or f"CN-{len(self.state['CreditNotes']) + 1:04}"
        if self._find("CreditNotes", note_number) is not None:
            raise InvalidError(f"Credit note number {note_number} already exists")
        return self._document("CreditNotes", {**fields, "CreditNoteNumber": note_number}, places)

    def _update(self, key: str, call: Call) -> Answer:
        note = self._find("CreditNotes", key)
        if note is None:
            return _NOT_FOUND
        fields = _documents(call)[0]
        status = fields.get("Status", note["Status"])
        if status not in _MOVES[note["Status"]]:
            raise InvalidError(f"A credit note that is {note['Status']} cannot become {status}")
        content = {name: value for name, value in fields.items() if name not in {"CreditNoteID", "Status"}}
        if content and note["Status"] not in {"DRAFT", "SUBMITTED"}:
            raise InvalidError("This document cannot be edited")
        before = {**note, "UpdatedDateUTC": ""}
        self._overwrite(note, {**content, "Status": status}, _places(call) if "LineItems" in content else 4)
        changed = {**note, "UpdatedDateUTC": ""} != before
        return Answer(200, _listing("CreditNotes", [note]), "updated" if changed else "unchanged", changed)

    def _overwrite(self, document: dict[str, Any], fields: dict[str, Any], places: int = 4) -> None:
        kind = "CreditNotes" if "CreditNoteID" in document else "Invoices"
        kept = {name: document[name] for name in ("Reference", "Contact", "Status", "LineAmountTypes", "CurrencyCode")}
        kept |= {name: document[name] for name in _KINDS[kind]}
        kept |= {"Date": day_of(document), "LineItems": _bare_lines(document)}
        document.update(self._document(kind, kept | fields, places))

    def _seeded(self, kind: str, document: object) -> dict[str, Any]:
        made = self._document(kind, read_fields(kind, document), 4)
        self.state[kind][made[_KINDS[kind][0]]] = made
        return made

    def _document(self, kind: str, fields: dict[str, Any], places: int) -> dict[str, Any]:
        id_name, number_name = _KINDS[kind]
        day = fields.get("Date") or datetime.now(UTC).date()
        document: dict[str, Any] = {
            "Type": "ACCRECCREDIT" if kind == "CreditNotes" else "ACCREC",
            id_name: fields.get(id_name) or str(uuid4()),
            number_name: fields.get(number_name, ""),
            "Reference": fields.get("Reference", ""),
            "Contact": self._contact(fields.get("Contact")),
            "Date": xero_date(day),
            "DateString": f"{day}T00:00:00",
            "Status": fields.get("Status", "DRAFT"),
            "LineAmountTypes": fields.get("LineAmountTypes", "Exclusive"),
            "CurrencyCode": fields.get("CurrencyCode", "GBP"),
            "UpdatedDateUTC": xero_now(),
        }
        document["LineItems"] = _lines(fields.get("LineItems"), document["LineAmountTypes"], places)
        _approvable(document)
        return document | totals(document) | _balance(kind, totals(document)["Total"])

    def _contact(self, contact: dict[str, Any] | None) -> dict[str, Any]:
        if not contact or "ContactID" not in contact:
            raise InvalidError("Contact cannot be empty")
        identity = guid(contact["ContactID"])
        known = self.state["contacts"]
        if "Name" in contact:
            known[identity] = {"ContactID": identity, "Name": contact["Name"]}
        if identity not in known:
            raise InvalidError("The contact could not be found")
        return known[identity]

    def _find(self, kind: str, key: str) -> dict[str, Any] | None:
        id_name, number_name = _KINDS[kind]
        documents = cast("dict[str, dict[str, Any]]", self.state[kind])
        return next((found for found in documents.values() if key in {found[id_name], found[number_name]}), None)


def xero_simulator(
    port: int = 0,
    *,
    state_file: Path | None = None,
    token: str = TOKEN,
    tenant: str = TENANT,
    rate_limit: int | None = None,
) -> AbstractAsyncContextManager[XeroSimulator]:
    """Runs the stand-in in this process; `rate_limit` is calls per minute (Xero's own is 60)."""
    return serving(XeroSimulator(state_file=state_file, token=token, tenant=tenant, rate_limit=rate_limit), port)


def _lines(given: list[dict[str, Any]] | None, amount_types: str, places: int) -> list[dict[str, Any]]:
    if not given:
        raise InvalidError("One or more line items must be specified")
    return [reckoned(line, line.get("LineItemID") or str(uuid4()), amount_types, places) for line in given]


def _approvable(document: dict[str, Any]) -> None:
    if document["Status"] == "AUTHORISED" and not all(line["AccountCode"] for line in document["LineItems"]):
        raise InvalidError("Account code or ID must be specified")


def _balance(kind: str, total: object) -> dict[str, Any]:
    if kind == "CreditNotes":
        return {"RemainingCredit": total, "Allocations": [], "Payments": []}
    return {"AmountDue": total, "Payments": [], "CreditNotes": []}


def _bare_lines(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [{name: value for name, value in line.items() if name != "Tracking"} for line in document["LineItems"]]


def _documents(call: Call) -> list[dict[str, Any]]:
    body = call.body
    documents = cast("dict[str, Any]", body).get("CreditNotes", [body]) if isinstance(body, dict) else None
    if not isinstance(documents, list) or not documents:
        raise InvalidError("The body holds no credit note")
    return [read_fields("CreditNotes", one) for one in cast("list[object]", documents)]


def _places(call: Call) -> int:
    return 4 if call.query.get("unitdp") == "4" else 2


def _whole(call: Call, name: str, default: int) -> int:
    text = call.query.get(name, str(default))
    if not re.fullmatch(r"[1-9][0-9]{0,6}", text) or (name == "pageSize" and int(text) > _MOST_PER_PAGE):
        raise UnreadableError(f"{name} is out of range")
    return int(text)


def _pagination(page: int, size: int, count: int) -> dict[str, int]:
    return {"page": page, "pageSize": size, "pageCount": -(-count // size), "itemCount": count}


def _listing(kind: str, documents: list[dict[str, Any]]) -> dict[str, Any]:
    kept = [exact_json.loads(exact_json.dumps(document)) for document in documents]
    return {
        "Id": str(uuid4()),
        "Status": "OK",
        "ProviderName": "Simulator",
        "DateTimeUTC": xero_now(),
        kind: kept,
    }


def _invalid(message: str) -> Answer:
    elements = [{"ValidationErrors": [{"Message": message}]}]
    body = {"ErrorNumber": 10, "Type": "ValidationException", "Message": "A validation exception occurred"}
    return Answer(400, {**body, "Elements": elements})


def _unauthorised(status: int, title: str, detail: str) -> Answer:
    return Answer(
        status,
        {"Type": None, "Title": title, "Status": status, "Detail": detail, "Instance": str(uuid4()), "Extensions": {}},
    )


if __name__ == "__main__":
    sys.exit(main(lambda state_file, token: XeroSimulator(state_file=state_file, token=token)))
