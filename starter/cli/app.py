"""`holdfast`: the whole of it from a command line."""

from enum import StrEnum
from typing import Annotated

import typer

from starter.cli import ops as cli_ops
from starter.cli.approvals import approvals
from starter.cli.audit import audit
from starter.cli.books import billing, schedules
from starter.cli.cases import cases
from starter.cli.clocks import calendar, targets
from starter.cli.data import imports, returns
from starter.cli.directory import directory, people, reassign
from starter.cli.keys import keys
from starter.cli.policy import policy
from starter.cli.requests import requests
from starter.cli.steps import acts, steps
from starter.cli.words import in_words
from starter.cli.world import guarded, use_server


class DemoName(StrEnum):
    RETURN_LEAD = "return-lead"
    DEPARTMENT_REQUEST = "department-request"


app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
)
app.command(epilog="Example: holdfast up")(cli_ops.up)
app.command()(cli_ops.down)
app.command()(cli_ops.status)
app.command()(cli_ops.doctor)
app.command(epilog="Example: holdfast hold --client brightsmile --as otto")(cli_ops.hold)
app.command(epilog="Example: holdfast resume --all --as otto")(cli_ops.resume)
app.add_typer(imports, name="import")
app.add_typer(returns, name="return-lead")
app.add_typer(requests, name="request")
app.add_typer(cases, name="case")
app.add_typer(steps, name="step")
app.add_typer(acts, name="act")
app.add_typer(approvals, name="approvals")
app.add_typer(policy, name="policy")
app.add_typer(calendar, name="calendar")
app.add_typer(targets, name="targets")
app.add_typer(directory, name="directory")
app.add_typer(people, name="people")
app.command(epilog="Example: holdfast reassign --from ivan --to maya --as rita")(reassign)
app.add_typer(audit, name="audit")
app.add_typer(billing, name="billing")
app.add_typer(schedules, name="schedules")
app.add_typer(keys, name="api-key")
app.add_typer(cli_ops.outbound, name="outbound")
app.add_typer(cli_ops.inbox, name="inbox")


@app.callback()
def world(
    server: Annotated[
        str, typer.Option(envvar="HOLDFAST_SERVER", metavar="URL", help="A Holdfast elsewhere, such as https://...")
    ] = "",
    api_key: Annotated[
        str, typer.Option(envvar="HOLDFAST_API_KEY", metavar="KEY", help="The key it is asked by.")
    ] = "",
) -> None:
    """Standard operating procedures as durable workflows. Begin with `holdfast demo`, or `holdfast up`."""
    if server:
        use_server(server, api_key)


@app.command(epilog="Example: holdfast demo department-request")
def demo(
    sop: Annotated[DemoName, typer.Argument(help="Which SOP.")] = DemoName.RETURN_LEAD,
) -> None:
    """Run an SOP on real input and show it happening. Ends by itself."""
    from starter.demo.return_lead import main as run_demo  # noqa: PLC0415 - brings servers along that nothing else needs

    run_demo(sop.value)


def main() -> None:
    guarded(in_words(typer.main.get_command(app)))
