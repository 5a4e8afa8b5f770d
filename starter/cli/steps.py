"""`holdfast step`: what people do. Each act is signed by the gateway for whoever gave --as."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from adapters.postgres.correspondence import read_case
from adapters.postgres.reader import StepFilters, StepRow
from domain.errors import Refused
from domain.mail import IncomingMail
from domain.messages import ActKind
from starter.cli.cases import parse_json, print_steps
from starter.cli.requests import day
from starter.cli.world import (
    MISTAKE,
    As,
    Case,
    Json,
    Office,
    Step,
    agreed,
    complaints,
    console,
    holdfast,
    moment,
    office,
    plain,
    run,
    show,
    signed_in,
    who,
)
from starter.client import Acted, Client, DirectClient, every_step
from starter.evidence import with_evidence
from starter.findings import parse_findings_csv, parse_findings_json
from starter.mime.message import parse
from starter.tables import read_table

steps = typer.Typer(no_args_is_help=True, help="Steps that wait for people: look, take, do.")
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Don't ask again.")]


@steps.command("list", epilog="Example: holdfast step list --role team:return-leads")
def list_steps(
    role: Annotated[list[str] | None, typer.Option(help="A team's queue, such as team:accounts.")] = None,
    mine: Annotated[str, typer.Option("--owner", metavar="PERSON", help="Only this person's.")] = "",
    case: Annotated[str, typer.Option(help="Only this case's.")] = "",
    as_json: Json = False,
) -> None:
    """List open steps, the first due first."""
    run(_list(role or [], mine, case, as_json=as_json))


async def _list(roles: list[str], person: str, case: str, *, as_json: bool) -> None:
    async with holdfast() as here:
        case_id = await here.find_case(case) if case else ""
        wanted = [StepFilters(case_id=case_id, role=role) for role in roles]
        wanted += [StepFilters(case_id=case_id, owner=person)] if person else []
        lists = [await every_step(here, **one) for one in wanted or [StepFilters(case_id=case_id)]]
        names = await here.names()
    found = tuple(sorted(dict.fromkeys(chain(*lists)), key=lambda one: (one.step.deadline.due, one.case_id)))
    show(found, as_json=as_json, human=lambda: _print_list(found, names))


def _print_list(found: tuple[StepRow, ...], names: Mapping[str, str]) -> None:
    if not found:
        console.print("No step is waiting.")
    last = ""
    for step in found:
        if step.case_id != last:
            console.print(Text(f"{step.case_id} ({_client(step.client_id, names)})", style="bold"))
        last = step.case_id
        print_steps([step], names)


def _client(client_id: str, names: Mapping[str, str]) -> str:
    return names.get(f"client:{client_id}", client_id) or "no client, or not known yet"


@steps.command("show", epilog="Example: holdfast step show return-lead/9bc5eb253069c483 investigate")
def show_step(case: Case, step: Step, as_json: Json = False) -> None:
    """Show a step: what to do, the client's e-mail, the leads, and the answer as it will read."""
    run(_show(case, step, as_json=as_json))


async def _show(case: str, step: str, *, as_json: bool) -> None:
    async with office() as here:
        data = await _everything(here, await here.client().find_case(case), step)
    show(data, as_json=as_json, human=lambda: _print_step(data))


async def _everything(here: Office, case_id: str, step_id: str) -> dict[str, Any]:
    detail = await here.client().case(case_id)
    row = next((one for one in detail.steps if one.step.step_id == step_id), None)
    if row is None:
        known = ", ".join(one.step.step_id for one in detail.steps) or "none"
        raise Refused("unknown-step", f"the case has no step {step_id}; its steps are: {known}")
    facts = await read_case(here.pool, here.vault, here.letters.trust, case_id)
    found = bool(facts.findings.findings) and row.step.name not in {"triage", "investigate", "look"}
    return {
        "step": plain(row),
        "instructions": await here.letters.instructions(case_id, step_id),
        "request": plain(facts.thread) if facts.thread else None,
        "came_in": await _came_in(here, case_id),
        "leads": plain(detail.leads),
        "problems": list(facts.request.get("problems", [])),
        "preview": (await here.letters.preview(case_id)).text if found else "",
        "effect": next((plain(one) for one in detail.effects if one.key == row.step.reference), None),
    }


async def _came_in(here: Office, case_id: str) -> list[dict[str, str]]:
    """What was accepted by mail for the case, as text; the latest first."""
    staff = frozenset({here.settings.mail_domain})
    shown: list[dict[str, str]] = []
    for one in await here.operations.came_in(case_id):
        try:
            mail = parse(one.content, authserv_id=here.settings.imap_authserv_id, staff_domains=staff)
        except Refused as error:
            shown.append({"at": moment(one.received_at), "text": f"(can't be read: {error})"})
        else:
            shown.append({"at": moment(one.received_at), **_as_shown(mail)})
    return shown


def _as_shown(mail: IncomingMail) -> dict[str, str]:
    proven = "authenticated" if mail.authenticated else "NOT authenticated: it may be forged"
    return {
        "from": f"{mail.sender} ({proven})",
        "to": ", ".join((*mail.to, *mail.cc)),
        "subject": mail.subject,
        "text": mail.text,
    }


def _print_step(data: dict[str, Any]) -> None:
    console.print(Text(data["instructions"]))
    if request := data["request"]:
        console.print(Text("The request", style="bold"))
        for name, value in (("From", request["sender"] or "not known"), ("To", ", ".join(request["to"]))):
            console.print(Text(f"  {name}: {value}"))
        console.print(Text(f"  Cc: {', '.join(request['cc'])}\n  Subject: {request['subject']}\n\n{request['text']}\n"))
    for mail in data["came_in"]:
        console.print(Text(f"Came in {mail.pop('at')}", style="bold"))
        text = mail.pop("text")
        console.print(Text("\n".join([*(f"  {name}: {value}" for name, value in mail.items()), "", text, ""])))
    for problem in data["problems"]:
        console.print(Text(f"Not read: {problem}"))
    if data["preview"]:
        console.print(Text("The answer to the client, as it will read", style="bold"))
        console.print(Text(data["preview"]))


@steps.command(epilog="Example: holdfast step claim return-lead/9bc5eb253069c483 investigate --as ivan")
def claim(case: Case, step: Step, person: As = "", as_json: Json = False) -> None:
    """Take a step of your team's queue."""
    run(_act(case, step, ActKind.CLAIM, {}, person, as_json=as_json))


@steps.command(epilog="Example: holdfast step release return-lead/9bc5eb253069c483 investigate --as ivan")
def release(case: Case, step: Step, person: As = "", as_json: Json = False) -> None:
    """Give a step back to the queue."""
    run(_act(case, step, ActKind.RELEASE, {}, person, as_json=as_json))


@steps.command(epilog="Example: holdfast step reassign return-lead/9bc5eb253069c483 investigate maya --as rita")
def reassign(
    case: Case, step: Step, to: Annotated[str, typer.Argument(metavar="PERSON")], person: As = "", as_json: Json = False
) -> None:
    """Give a step to somebody else."""
    run(_act(case, step, ActKind.REASSIGN, {"to": to}, person, as_json=as_json))


@steps.command(epilog='Example: holdfast step move CASE investigate 2026-12-01T17:00:00+00:00 --reason "..." --as rita')
def move(
    case: Case,
    step: Step,
    due: Annotated[str, typer.Argument(help="The new moment, such as 2026-12-01T17:00:00+00:00.")],
    reason: Annotated[str, typer.Option(help="Why.")],
    person: As = "",
    as_json: Json = False,
) -> None:
    """Move a step's deadline, with the reason beside it."""
    try:
        datetime.fromisoformat(due)
    except ValueError:
        raise Refused("bad-moment", f"{due} is not a moment such as 2026-12-01T17:00:00+00:00") from None
    run(_act(case, step, ActKind.MOVE, {"due": due, "reason": reason}, person, as_json=as_json))


@steps.command(epilog="Example: holdfast step complete CASE investigate --findings findings.csv --as ivan")
def complete(  # noqa: PLR0917 - what a command line can say
    case: Case,
    step: Step,
    findings: Annotated[Path | None, typer.Option(help="All findings: CSV or JSON.")] = None,
    lead: Annotated[str, typer.Option(help="One lead's finding; the last one completes the step.")] = "",
    verdict: Annotated[str, typer.Option(help="valid or not-valid.")] = "",
    reason: Annotated[str, typer.Option(help="A reason code of a finding, or why you decline.")] = "",
    text: Annotated[str, typer.Option(help="What the client reads about the lead.")] = "",
    evidence: Annotated[list[str] | None, typer.Option(help="A file that supports the finding.")] = None,
    confirm: Annotated[bool, typer.Option("--confirm", help="Stand behind the settlement as previewed.")] = False,
    authorise: Annotated[bool, typer.Option("--authorise", help="Accounts: authorise the credit notes.")] = False,
    decline: Annotated[bool, typer.Option("--decline", help="Accounts: decline them, with --reason.")] = False,
    taken_off: Annotated[bool, typer.Option("--taken-off", help="Accounts: the lines are off the draft.")] = False,
    allocated: Annotated[bool, typer.Option("--allocated", help="Accounts: the credit is allocated.")] = False,
    reduce: Annotated[Path | None, typer.Option(help="Leads that are not granted: CSV with lead_id,text.")] = None,
    mark: Annotated[str, typer.Option(help="What a client's reply is: accepts, disputes, new-leads, other.")] = "",
    decided: Annotated[
        Path | None, typer.Option(help="Final decision on disputed leads: CSV with lead_id,decision,reason,text.")
    ] = None,
    accept: Annotated[bool, typer.Option("--accept", help="Triage: it is a request; with --client, --leads.")] = False,
    reject: Annotated[bool, typer.Option("--reject", help="Triage: it is none.")] = False,
    client: Annotated[str, typer.Option(help="Triage: the client's id.")] = "",
    leads: Annotated[str, typer.Option(help="Triage, --mark: lead ids, with commas between them.")] = "",
    department: Annotated[str, typer.Option(help="Which department a task is for, by its short name.")] = "",
    hours: Annotated[int, typer.Option(min=0, help="An estimate: it takes so many hours from now.")] = 0,
    on: Annotated[str, typer.Option(help="An estimate: the day it will be done, such as 2026-12-04.")] = "",
    done: Annotated[bool, typer.Option("--done", help="It is done; say how with --note.")] = False,
    resend: Annotated[bool, typer.Option("--resend", help="Have Holdfast try it again.")] = False,
    waive: Annotated[bool, typer.Option("--waive", help="It need not be done; say why with --note.")] = False,
    note: Annotated[str, typer.Option(help="What you did, or why.")] = "",
    yes: Yes = False,
    person: As = "",
    as_json: Json = False,
) -> None:
    """Complete a step with your result. Which option fits is what the step's instructions say."""
    run(_complete(dict(locals())))


async def _complete(given: dict[str, Any]) -> None:
    case, step, person, as_json = given["case"], given["step"], given["person"], given["as_json"]
    _exactly_one(given)
    if given["findings"]:
        await _findings(case, step, given["findings"], person, as_json=as_json)
    elif given["lead"]:
        finding = {name: given[name] for name in ("verdict", "reason", "text")}
        finding |= {"lead_id": given["lead"], "evidence": given["evidence"] or []}
        await _one_finding(case, step, finding, person, as_json=as_json)
    elif given["confirm"]:
        await _confirm(case, step, person, yes=given["yes"], as_json=as_json)
    else:
        kind, payload = _simple(given)
        await _act(case, step, kind, payload, person, as_json=as_json)


async def _asked_for(here: Client, case_id: str, step_id: str, kind: ActKind) -> ActKind:
    """One word for people, "done"; what is signed says whether a request was processed, or something was mended."""
    if kind is not ActKind.DONE:
        return kind
    steps_of = (await here.case(case_id)).steps
    kinds = next((one.step.kinds for one in steps_of if one.step.step_id == step_id), ())
    return ActKind.PROCESSED if ActKind.PROCESSED in kinds else kind


_SIMPLE = {
    "authorise": (ActKind.AUTHORISE, "reason"),
    "decline": (ActKind.DECLINE, "reason"),
    "taken_off": (ActKind.TAKEN_OFF, "note"),
    "allocated": (ActKind.ALLOCATED, "note"),
    "done": (ActKind.DONE, "note"),
    "resend": (ActKind.RESEND, "note"),
    "waive": (ActKind.WAIVE, "note"),
}


_ASKED = ("department", "hours", "on")  # what a department request asks of people


def _exactly_one(given: dict[str, Any]) -> None:
    results = ("findings", "lead", "confirm", "reduce", "mark", "decided", "accept", "reject", *_ASKED, *_SIMPLE)
    if sum(bool(given[name]) for name in results) != 1:
        raise Refused("which-result", "give exactly one result; `holdfast step show CASE STEP` says which one fits")


def _simple(given: dict[str, Any]) -> tuple[ActKind, dict[str, Any]]:
    if given["reduce"]:
        rows = read_table(given["reduce"], ["lead_id", "text"])
        return ActKind.REDUCE, {"leads": [row.cells for row in rows]}
    leads = [one.strip() for one in given["leads"].split(",") if one.strip()]
    if given["mark"]:
        return ActKind.MARK, {"mark": given["mark"], "lead_ids": leads, "note": given["note"]}
    if given["decided"]:
        return ActKind.DECIDED, _final_decision(given["decided"])
    if given["accept"] or given["reject"]:
        return ActKind.TRIAGE, {"accept": given["accept"], "client_id": given["client"], "lead_ids": leads}
    if given["department"]:
        return ActKind.ROUTED, {"department": given["department"]}
    if given["hours"] or given["on"]:
        return ActKind.ESTIMATED, {"hours": given["hours"]} if given["hours"] else {"on": day(given["on"])}
    kind, words = next(found for name, found in _SIMPLE.items() if given[name])
    return kind, {words: given[words]}


def _final_decision(file: Path) -> dict[str, Any]:
    """RL-10: a row a disputed lead; an overturned one is a finding of its own."""
    found: dict[str, Any] = {"overturned": [], "upheld": []}
    for row in read_table(file, ["lead_id", "decision", "reason", "text"]):
        cells, decision = row.cells, row.cells["decision"].strip().casefold()
        if decision not in found:
            raise Refused("bad-decision", f"{file} line {row.line}: a decision is overturned or upheld")
        said = {"lead_id": cells["lead_id"], "text": cells["text"]}
        finding = {**said, "verdict": "valid", "reason": cells["reason"]}
        found[decision].append(finding if decision == "overturned" else said)
    return found


async def _act(case: str, step: str, kind: ActKind, payload: dict[str, Any], person: str, *, as_json: bool) -> None:
    async with holdfast(person) as here:
        case_id = await here.find_case(case)
        async with helped(here, case_id, step):
            done = await here.act(case_id, step, await _asked_for(here, case_id, step, kind), payload)
    said(done, case_id, as_json=as_json)


async def _findings(case: str, step: str, file: Path, person: str, *, as_json: bool) -> None:
    read = parse_findings_json if file.suffix.lower() == ".json" else parse_findings_csv
    rows = read(_bytes(file))
    async with signed_in(person) as here:
        case_id = await here.find_case(case)
        async with helped(here, case_id, step):
            ready = await with_evidence(here, (case_id, step), rows, file.parent)
            done = await here.act(case_id, step, ActKind.FINDINGS, {"findings": ready})
    said(done, case_id, as_json=as_json)


async def _one_finding(case: str, step: str, finding: dict[str, Any], person: str, *, as_json: bool) -> None:
    async with signed_in(person) as here:
        case_id = await here.find_case(case)
        async with helped(here, case_id, step):
            (ready,) = await with_evidence(here, (case_id, step), [finding], Path())
            done = await _put_down(here, case_id, step, ready, as_json=as_json)
    if done:
        said(done, case_id, as_json=as_json)


async def _put_down(
    here: DirectClient, case_id: str, step: str, finding: dict[str, Any], *, as_json: bool
) -> Acted | None:
    so_far, of = await here.put_down(case_id, step, finding)
    if so_far < of:
        line = f"Put down: {so_far} of {of} leads. The step is done with the last one."
        show({"put_down": so_far, "of": of}, as_json=as_json, human=lambda: console.print(line))
        return None
    return await here.hand_in(case_id, step)


async def _confirm(case: str, step: str, person: str, *, yes: bool, as_json: bool) -> None:
    """Shows what is confirmed before asking; what is signed names exactly that preview."""
    who(person)
    async with office() as here:
        client = here.client(person)
        case_id = await client.find_case(case)
        preview = await here.letters.preview(case_id)
        if not as_json:
            console.print(Text("The answer to the client, as it will read:\n", style="bold"))
            console.print(Text(preview.text))
        if not yes and not agreed("Do you confirm this, with your name?"):
            raise Refused("not-confirmed", "nothing was confirmed: answer y, or give --yes")
        async with helped(client, case_id, step):
            done = await client.act(case_id, step, ActKind.CONFIRM, {"preview_sha256": preview.sha256})
    said(done, case_id, as_json=as_json)


@asynccontextmanager
async def helped(asked: Client, case_id: str, step_id: str) -> AsyncGenerator[None]:
    """A refusal within says also whom the step asks, or which steps there are."""
    try:
        yield
    except Refused as error:
        raise Refused(error.code, f"{error}{await _more(asked, error.code, case_id, step_id)}") from None


async def _more(asked: Client, code: str, case_id: str, step_id: str) -> str:
    if code == "kind-not-asked":
        return f" What it asks for: holdfast step show {case_id} {step_id}"
    if code not in _ABOUT_STEPS:
        return ""
    names, steps_of = await asked.names(), [one for one in (await asked.case(case_id)).steps if one.state == "open"]
    if code == "unknown-step":
        return f" Open are: {', '.join(one.step.step_id for one in steps_of) or 'none'}."
    whose = next((one.step.owner for one in steps_of if one.step.step_id == step_id), "")
    return f" It waits for {names.get(whose, whose)}." if whose else ""


_ABOUT_STEPS = {"unknown-step", "not-asked", "belongs-to-another"}


def said(done: Acted, case_id: str, *, as_json: bool) -> None:
    """Says what became of an act; refused: exit code 2."""
    lines = {
        "accepted": f"Done: signed, checked and stored. What comes next: holdfast case show {case_id}",
        "waiting": "Signed and sent. It is judged as soon as the worker is back; `holdfast step list` shows it then.",
    }
    if done.state == "refused":
        show(done, as_json=as_json, human=lambda: complaints.print(Text(f"holdfast: {done.sentence}", style="red")))
        raise typer.Exit(MISTAKE)
    show(done, as_json=as_json, human=lambda: console.print(lines[done.state]))


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise Refused("no-such-file", f"{file} can't be read: {error.strerror}") from None


acts = typer.Typer(no_args_is_help=True, help="Signed acts, to be pasted into the Temporal UI.")


@acts.command(
    "sign", epilog='Example: holdfast act sign CASE could-not step.waive --payload \'{"note": "..."}\' --as rita'
)
def sign(
    case: Case,
    step: Step,
    kind: Annotated[str, typer.Argument(help="Such as return.findings or step.done.")],
    payload: Annotated[str, typer.Option(help="The result as JSON.")] = "{}",
    person: As = "",
) -> None:
    """Print a signed act: the argument of the signal `act`. It is good for this step and this person only."""
    run(_sign(case, step, kind, payload, person))


async def _sign(case: str, step: str, kind: str, payload: str, person: str) -> None:
    data = parse_json(payload)
    async with signed_in(person) as here:
        act = await here.sign(await here.find_case(case), step, kind, data)
    console.print_json(act.model_dump_json())
