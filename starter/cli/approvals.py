"""`holdfast approvals`: what waits for the approver, what exactly he would sign, and his decision (RL-14)."""

from collections.abc import Mapping
from typing import Annotated

import typer
from rich.text import Text

from adapters.postgres.money_people import recent_changes
from adapters.postgres.names import by_name
from adapters.postgres.reader import StepRow
from domain.errors import Refused
from domain.messages import ActKind
from domain.people import Role
from domain.subject import Asking, Subject
from starter.cli.cases import print_steps
from starter.cli.steps import helped, said
from starter.cli.world import As, Case, Json, agreed, console, office, plain, run, show, signed_in, table
from starter.client import Client, every_step

approvals = typer.Typer(no_args_is_help=True, help="What is above the limit: look, approve, reject or ask back.")
Step = Annotated[str, typer.Option("--step", metavar="STEP", help="Which approval, if the case had several.")]


@approvals.command("list", epilog="Example: holdfast approvals list")
def list_approvals(as_json: Json = False) -> None:
    """List what waits for the approver, the first due first."""
    run(_list(as_json=as_json))


async def _list(*, as_json: bool) -> None:
    async with office() as here:
        client = here.client()
        found, names = await every_step(client, role=Role.APPROVER), await client.names()
        changes = await recent_changes(here.pool)
    show(found, as_json=as_json, human=lambda: _print_list(found, changes, names))


def _print_list(found: tuple[StepRow, ...], changes: tuple[str, ...], names: Mapping[str, str]) -> None:
    if not found:
        console.print("Nothing waits for an approver.")
    for row in found:
        client = names.get(f"client:{row.client_id}", row.client_id)
        console.print(Text(f"{row.case_id} ({client})", style="bold"))
        print_steps([row], names)
        console.print(f"    exactly what it is about: holdfast approvals show {row.case_id}", markup=False)
    if changes:
        console.print(Text("\nWho may act for money: changes of the last 30 days", style="bold"))
    for change in changes:
        console.print(Text(f"  {by_name(change, names)}"))


@approvals.command("show", epilog="Example: holdfast approvals show return-lead/9bc5eb253069c483")
def show_approval(case: Case, step: Step = "", as_json: Json = False) -> None:
    """Show exactly what is approved: lines, amounts, evidence, this month's earlier grants, and why it is asked."""
    run(_show(case, step, as_json=as_json))


async def _show(case: str, step: str, *, as_json: bool) -> None:
    async with signed_in(None) as here:
        case_id = await here.find_case(case)
        step_id = step or await _latest(here, case_id)
        about = (await here.show(case_id, step_id, ActKind.APPROVE)).subject
        names = await here.names()
    data = {"step_id": step_id, "sha256": about.sha256, "subject": plain(about)}
    show(data, as_json=as_json, human=lambda: _print_subject(step_id, about, names))


@approvals.command(epilog="Example: holdfast approvals decide return-lead/9bc5eb253069c483 --approve --as shobhit")
def decide(  # noqa: PLR0917 - what a command line can say
    case: Case,
    approve: Annotated[bool, typer.Option("--approve", help="Grant it.")] = False,
    reject: Annotated[bool, typer.Option("--reject", help="Don't; say why with --reason. It stays internal.")] = False,
    ask_back: Annotated[bool, typer.Option("--ask-back", help="Ask the team something with --reason first.")] = False,
    withdraw: Annotated[bool, typer.Option("--withdraw", help="Take an approval back.")] = False,
    reason: Annotated[str, typer.Option(help="Why, or what you ask. The client never reads it.")] = "",
    step: Step = "",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask again.")] = False,
    person: As = "",
    as_json: Json = False,
) -> None:
    """Decide. What is signed is what is shown: if anything of it changes meanwhile, nothing is decided."""
    given = {
        ActKind.APPROVE: approve,
        ActKind.REJECT: reject,
        ActKind.ASK_BACK: ask_back,
        ActKind.WITHDRAW: withdraw,
    }
    kinds = [kind for kind, said in given.items() if said]
    if len(kinds) != 1:
        raise Refused("which-decision", "give exactly one of --approve, --reject, --ask-back and --withdraw")
    run(_decide(case, step, kinds[0], reason, person, yes=yes, as_json=as_json))


async def _decide(case: str, step: str, kind: ActKind, reason: str, person: str, *, yes: bool, as_json: bool) -> None:
    async with signed_in(person) as here:
        case_id = await here.find_case(case)
        step_id = step or await _latest(here, case_id)
        about = (await here.show(case_id, step_id, kind)).subject
        if not as_json and kind is not ActKind.WITHDRAW:
            _print_subject(step_id, about, await here.names())
        question = f"Do you {kind.value.removeprefix('return.').replace('_', ' ')} this, with your name?"
        if not yes and not agreed(question):
            raise Refused("not-decided", "nothing was decided: answer y, or give --yes")
        async with helped(here, case_id, step_id):
            done = await here.act(case_id, step_id, kind, {"reason": reason}, shown=about.sha256)
    said(done, case_id, as_json=as_json)


async def _latest(here: Client, case_id: str) -> str:
    """The case's latest approval, open or done. Raises Refused."""
    steps = [row.step for row in (await here.case(case_id)).steps if ActKind.APPROVE.value in row.step.kinds]
    if not steps:
        raise Refused("no-approval", "nothing in this case was put to an approver")
    return max(steps, key=lambda one: one.asked_at).step_id


def _print_subject(step_id: str, about: Subject, names: Mapping[str, str]) -> None:
    client = names.get(f"client:{about.client_id}", about.client_id)
    contact = f"its contact in the books is {about.contact_id}" if about.contact_id else "no contact in the books"
    console.print(Text(f"{client}, {about.case_id} [{step_id}]; {contact}"))
    lines = table("Lead", "Amount, VAT included", "Invoice", "Evidence")
    for line in about.lines:
        gross = f"{line.currency} {line.gross:,.2f}" if line.gross is not None else "no price"
        proof = ", ".join(one[:12] for one in line.evidence) or "none"
        lines.add_row(line.lead_id, gross, line.invoice_number or "not invoiced", proof)
    console.print(lines)
    if about.asking:
        _print_asking(about.asking)
    console.print(Text(f"SHA-256 of what would be signed: {about.sha256}"))


def _print_asking(asking: Asking) -> None:
    total = f"GBP {asking.total_gbp:,.2f}" if asking.total_gbp is not None else "not known in GBP"
    console.print(Text(f"Why: {asking.why.replace('-', ' ') or 'no approver is needed as it stands'}"))
    console.print(Text(f"Total {total}; granted without an approver so far GBP {asking.granted_gbp:,.2f}"))
    console.print(Text(f"The limit is GBP {asking.limit_gbp:,.2f} {asking.vat} VAT (rules version {asking.rules})"))
    for one in asking.granted:
        approved = "approved" if one.approved else "without an approver"
        console.print(Text(f"  earlier: {one.lead_id} {one.currency} {one.gross:,.2f}, {approved}, {one.case_id}"))
