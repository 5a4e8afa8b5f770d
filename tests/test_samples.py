"""The samples fit together: what the demo and a first user are given is one consistent case."""

import json
from decimal import Decimal
from pathlib import Path

import pytest

from domain.mail import lead_ids_in
from simulators.livechat import livechat_simulator
from simulators.mail import AUTHSERV_ID
from simulators.teamwork import TeamworkSimulator
from simulators.tickets import TicketsSimulator
from simulators.xero import xero_simulator
from starter.findings import parse_findings_csv
from starter.intake import read_request
from starter.mime.message import parse
from starter.tables import read_table

SAMPLES = Path(__file__).parents[1] / "samples"
PEOPLE = ("person_id", "name", "email", "issuer", "sub", "roles")
DIRECTORY = ("slug", "name", "contacts", "principal", "manager")
ANDY_S_RULE = (
    " (communicate with AL on anything operational or non client related. For client related items communicate "
    "with Cath as she is Andy's CSS)"
)


def leads() -> dict[str, dict[str, str]]:
    columns = ("lead_id", "client_id", "received_at", "price", "currency", "chat_id", "thread_id")
    return {row.cells["lead_id"]: row.cells for row in read_table(SAMPLES / "leads.csv", columns)}


def test_the_request_is_a_departments_forward_that_names_the_leads_of_the_findings() -> None:
    raw = f"Authentication-Results: {AUTHSERV_ID}; dmarc=pass header.from=commversion.com\r\n".encode()
    mail = parse(
        raw + (SAMPLES / "request.eml").read_bytes(),
        authserv_id=AUTHSERV_ID,
        staff_domains=frozenset({"commversion.com"}),
    )
    assert mail.original
    assert (mail.original.how, mail.original.sender) == ("attached", "jane.porter@brightsmile.example")
    findings = parse_findings_csv((SAMPLES / "findings.csv").read_bytes())
    assert list(mail.lead_ids) == [one["lead_id"] for one in findings]
    assert mail.problems == ()
    assert {leads()[one]["client_id"] for one in mail.lead_ids} == {"brightsmile"}


def test_every_finding_names_evidence_that_is_there() -> None:
    findings = parse_findings_csv((SAMPLES / "findings.csv").read_bytes())
    names = [name for one in findings for name in one["evidence"]]
    assert names
    assert all((SAMPLES / name).is_file() for name in names)
    assert {one["verdict"] for one in findings} == {"valid", "not-valid"}


async def test_the_books_hold_the_invoiced_leads_at_their_price_with_vat() -> None:
    async with xero_simulator() as xero:
        xero.load(json.loads((SAMPLES / "xero.json").read_text(), parse_float=Decimal))
        (invoice,) = xero.invoices
    lines = {lead_ids_in(line["Description"])[0]: line for line in invoice["LineItems"]}
    assert set(lines) == {"L-1001", "L-1002", "L-1003", "L-1004"}
    for lead_id, line in lines.items():
        net = Decimal(leads()[lead_id]["price"])
        assert Decimal(str(line["LineAmount"])) == net
        assert Decimal(str(line["TaxAmount"])) == net * Decimal("0.20")
    assert invoice["Contact"]["ContactID"] == next(
        row.cells["contact_id"]
        for row in read_table(
            SAMPLES / "clients.csv", ["client_id", "name", "contact_id", "currency", "csm_id", "addresses"]
        )
        if row.cells["client_id"] == "brightsmile"
    )


async def test_every_lead_with_a_chat_has_it_in_live_chat() -> None:
    async with livechat_simulator() as chat:
        chat.load(json.loads((SAMPLES / "livechat.json").read_text()))
        known = {(one, thread) for one, threads in chat.state["chats"].items() for thread in threads}
    wanted = {(lead["chat_id"], lead["thread_id"]) for lead in leads().values() if lead["chat_id"]}
    assert wanted <= known
    assert any(not lead["chat_id"] for lead in leads().values())


def test_the_board_and_the_desk_know_the_people_as_the_directory_does() -> None:
    teamwork, tickets = TeamworkSimulator(), TicketsSimulator()
    teamwork.seed(**json.loads((SAMPLES / "teamwork.json").read_text()))
    tickets.seed(**json.loads((SAMPLES / "tickets.json").read_text()))
    emails = {
        row.cells["person_id"]: row.cells["email"] for row in read_table(SAMPLES / "people.csv", PEOPLE, ("manages",))
    }
    for row in read_table(SAMPLES / "channels.csv", ("person_id", "channels")):
        channels = dict(one.split("=") for one in row.cells["channels"].split(";"))
        email = emails[row.cells["person_id"]]
        assert teamwork.state["people"][channels["teamwork"]]["email"] == email
        assert email in {one["email"] for one in tickets.state["users"].values()}
    assert teamwork.task(7001)["assignees"] == []
    assert 415 not in tickets.ticket(8001)["follower_ids"]


def test_the_request_without_an_email_is_one() -> None:
    request = read_request(json.loads((SAMPLES / "request.json").read_text()))
    assert request.leads == ("L-1007",)


@pytest.mark.clause("ID-1", "ID-2")
def test_the_directory_is_the_document_s_line_by_line() -> None:
    document = (SAMPLES.parent / "docs/sops/sources/inter-department.txt").read_text()
    listed = document.partition("Who to contact in each department")[2].partition("Step-by-step")[0].splitlines()[1:]
    lines = [line.strip(" \u2022\u00a0").replace("\u2019", "'") for line in listed if "\u2022" in line]
    people = {
        row.cells["person_id"]: row.cells["name"] for row in read_table(SAMPLES / "people.csv", PEOPLE, ["manages"])
    }
    told: list[str] = []
    for row in read_table(SAMPLES / "directory.csv", DIRECTORY, []):
        names = [people[one.partition(":")[0]] for one in row.cells["contacts"].split(";")]
        rule = ANDY_S_RULE if row.cells["slug"] == "andy" else ""
        told.append(f"{row.cells['name']} \u2013 {names[0] + rule if rule else ' & '.join(names)}")
    assert told == lines
    pairs = [tuple(row.cells.values()) for row in read_table(SAMPLES / "pairs.csv", ["csm", "css"])]
    assert ("andy", "cath") in pairs


def test_whoever_the_directory_names_is_known_and_can_be_reached() -> None:
    known = {row.cells["person_id"] for row in read_table(SAMPLES / "people.csv", PEOPLE, ["manages"])}
    reached = {row.cells["person_id"] for row in read_table(SAMPLES / "channels.csv", ["person_id", "channels"])}
    named: set[str] = set()
    for row in read_table(SAMPLES / "directory.csv", DIRECTORY, []):
        contacts = {one.partition(":")[0] for one in row.cells["contacts"].split(";")}
        assert contacts <= reached
        named |= contacts | ({row.cells["manager"], row.cells["principal"]} - {""})
    assert named <= known
