"""The findings table: a row a lead, kept as a draft until all are handed in (RL-4)."""

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import JsonValue
from starlette.datastructures import FormData, UploadFile

from adapters.postgres.page_reader import Chat, Evidence
from domain.errors import Refused
from domain.return_lead import Finding, Findings, Reason, Verdict
from domain.subject import SubjectLine
from domain.texts import digest
from starter.findings import COLUMNS, MOST_BYTES, parse_findings_csv
from starter.pages.uploads import read_upload
from starter.pages.visitor import Visitor, text_of

_FORMULA = re.compile(r"^[=+\-@\t\r]")
_QUOTED = re.compile(r"^'(?=[=+\-@\t\r])")
MOST_EVIDENCE = 20

REASONS = {
    Reason.SPAM: "Spam or a robot",
    Reason.DUPLICATE: "The client had it before",
    Reason.WRONG_SERVICE: "Asked for another service",
    Reason.OUT_OF_AREA: "Outside the client's area",
    Reason.WRONG_CONTACT: "Contact details don't work",
    Reason.JOB_SEEKER: "Looking for a job",
    Reason.GENUINE: "A genuine enquiry",
    Reason.TOO_LATE: "Returned too late",
    Reason.CONTACTED: "The client got in touch with them",
    Reason.OTHER: "Something else",
}


@dataclass
class Row:
    """One lead of the table. `problem` says why what was typed could not be kept."""

    line: SubjectLine
    chat: Chat | None = None
    verdict: str = ""
    reason: str = ""
    text: str = ""
    evidence: list[str] = field(default_factory=list[str])
    files: list[UploadFile] = field(default_factory=list[UploadFile])
    problem: str = ""

    @property
    def lead_id(self) -> str:
        return self.line.lead_id

    @property
    def begun(self) -> bool:
        return bool(self.verdict or self.reason or self.text or self.evidence or self.files)

    @property
    def finding(self) -> dict[str, Any]:
        chosen = {"verdict": self.verdict, "reason": self.reason, "text": self.text}
        return {"lead_id": self.lead_id, **chosen, "evidence": self.evidence}

    @property
    def done(self) -> bool:
        return bool(self.verdict and self.reason and not self.problem)


def drafted_rows(
    lines: Sequence[SubjectLine], draft: Mapping[str, Mapping[str, JsonValue]], chats: Mapping[str, Chat]
) -> list[Row]:
    """The table as it was left."""
    rows = [Row(line, chats.get(line.lead_id)) for line in lines]
    for row in rows:
        _fill(row, draft.get(row.lead_id, {}))
    return rows


def posted_rows(rows: Sequence[Row], sent: FormData) -> None:
    """Puts what was typed into the rows."""
    for row in rows:
        lead = row.lead_id
        row.verdict, row.reason = text_of(sent, f"verdict:{lead}"), text_of(sent, f"reason:{lead}")
        row.text = text_of(sent, f"text:{lead}").replace("\r\n", "\n")
        kept = [value for value in sent.getlist(f"evidence:{lead}") if isinstance(value, str)]
        row.evidence = list(dict.fromkeys(kept))
        files = [value for value in sent.getlist(f"file:{lead}") if isinstance(value, UploadFile)]
        row.files = [file for file in files if file.filename]


async def keep_rows(who: Visitor, case_id: str, step_id: str, rows: Sequence[Row]) -> None:
    """Uploads what is new and puts down every row that changed; what is wrong is said beside its lead."""
    draft = await who.client.drafted(case_id, step_id)
    for row in rows:
        try:
            await _upload(who, case_id, step_id, row)
            if row.begun and row.finding != _comparable(draft.get(row.lead_id)):
                await _keep(who, case_id, step_id, row)
        except Refused as error:
            row.problem = str(error).removeprefix(f"{row.lead_id}: ")


async def _upload(who: Visitor, case_id: str, step_id: str, row: Row) -> None:
    if len(row.evidence) + len(row.files) > MOST_EVIDENCE:
        raise Refused("evidence-size", f"A lead has at most {MOST_EVIDENCE} pieces of evidence.")
    while row.files:
        found = await read_upload(row.files.pop(0))
        sha = await who.client.keep_evidence(case_id, step_id, found.content, name=found.name)
        row.evidence = list(dict.fromkeys([*row.evidence, sha]))


async def _keep(who: Visitor, case_id: str, step_id: str, row: Row) -> None:
    if not row.verdict or not row.reason:
        raise Refused("unfinished", "Choose a verdict and a reason, so that this can be kept.")
    await who.client.put_down(case_id, step_id, row.finding)


def read_csv(content: bytes, rows: Sequence[Row]) -> None:
    """Puts a CSV's findings into the rows; a lead that it leaves out stays as it was. Raises Refused."""
    by_lead = {row.lead_id: row for row in rows}
    for found in parse_findings_csv(content):
        lead_id = str(found["lead_id"]).strip().upper()
        if lead_id not in by_lead:
            raise Refused("unknown-lead", f"The CSV names {lead_id}, which is not one of this request's leads.")
        cleaned = {name: _QUOTED.sub("", value) if isinstance(value, str) else value for name, value in found.items()}
        kept = by_lead[lead_id].evidence
        _fill(by_lead[lead_id], cleaned | {"evidence": cleaned.get("evidence") or kept})


async def uploaded_csv(sent: FormData) -> bytes:
    """Raises Refused `no-file`."""
    file = sent.get("csv")
    if not isinstance(file, UploadFile) or not file.filename:
        raise Refused("no-file", "Choose the CSV file first.")
    return await file.read(MOST_BYTES + 1)


def written_csv(rows: Sequence[Row]) -> str:
    """The table as CSV; cells that a spreadsheet would take for a formula are quoted, and unquoted on the way back."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow([*COLUMNS, "evidence"])
    for row in rows:
        cells = (row.lead_id, row.verdict, row.reason, row.text, " ".join(row.evidence))
        writer.writerow([f"'{cell}" if _FORMULA.match(cell) else cell for cell in cells])
    return out.getvalue()


def evidence_of(rows: Sequence[Row], known: Mapping[str, Evidence]) -> dict[str, list[Evidence]]:
    return {row.lead_id: [known[sha] for sha in row.evidence if sha in known] for row in rows}


def findings_of(rows: Sequence[Row]) -> tuple[Findings, dict[str, str]]:
    """The rows that are done, as they would be handed in, and their texts by SHA-256."""
    done = [row for row in rows if row.done]
    texts = {digest(row.text): row.text for row in done}
    found = [
        Finding(
            lead_id=row.lead_id, verdict=Verdict(row.verdict), reason=Reason(row.reason), text_sha256=digest(row.text)
        )
        for row in done
    ]
    return Findings(findings=tuple(found)), texts


def _fill(row: Row, found: Mapping[str, Any]) -> None:
    row.verdict, row.reason = _word(found.get("verdict", "")), _word(found.get("reason", ""))
    row.text = str(found.get("text", ""))
    row.evidence = [str(one) for one in found.get("evidence", ())]


def _word(value: object) -> str:
    return re.sub(r"[\s_]+", "-", str(value).strip().casefold())


def _comparable(found: Mapping[str, JsonValue] | None) -> dict[str, Any]:
    return dict(found) if found else {}
