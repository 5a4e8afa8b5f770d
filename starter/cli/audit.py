"""`holdfast audit`: walks the chain of everything that happened, and signs its head for safe keeping elsewhere."""

import json
from pathlib import Path
from typing import Annotated

import typer
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from rich.text import Text

from adapters.postgres.audit import AuditReport, Head, head, store_anchor, verify
from adapters.postgres.pool import transaction
from domain.errors import Refused
from domain.texts import canonical
from runtime.keys import Keyring, load_signer, local_signer, ring_path
from runtime.settings import Settings
from starter.cli.world import Json, complaints, console, file_text, office, plain, run, show

audit = typer.Typer(no_args_is_help=True, help="The audit trail: one hash chain over everything that happened.")
_DOMAIN = b"holdfast-anchor-v1\n"


class Anchor(BaseModel):
    """The head of the chain as signed: `seq` events, ending with `hash`."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    deployment: str
    seq: int = Field(ge=0)
    hash: str = Field(pattern="^[0-9a-f]{64}$")
    kid: str
    signature: str

    def message(self) -> bytes:
        """The bytes that are signed."""
        return _message(self.deployment, Head(self.seq, self.hash))


def _message(deployment: str, what: Head) -> bytes:
    return _DOMAIN + canonical({"deployment": deployment, "hash": what.hash, "seq": what.seq}).encode()


@audit.command("verify", epilog="Example: holdfast audit verify --anchor anchor-2026-11-20.json")
def verify_chain(
    anchor: Annotated[Path | None, typer.Option(help="A signed head that was kept elsewhere.")] = None,
    as_json: Json = False,
) -> None:
    """Walk the whole chain. Exit code 1 if anything was changed, taken out or put in."""
    report = run(_verify(anchor))
    data = {"whole": report.whole, "count": report.count, "head": plain(report.head), "problems": list(report.problems)}
    show(data, as_json=as_json, human=lambda: _print_report(report))
    if not report.whole:
        raise typer.Exit(1)


async def _verify(file: Path | None) -> AuditReport:
    settings = Settings()
    kept = _read_anchor(settings, file) if file else None
    async with office(settings) as here, transaction(here.pool, reading=True) as conn:
        return await verify(conn, kept)


def _print_report(report: AuditReport) -> None:
    for problem in report.problems:
        complaints.print(Text(problem, style="red"))
    if report.whole:
        console.print(f"The chain is whole: {report.count} events, the last is {report.head.hash}.")


def _read_anchor(settings: Settings, file: Path) -> Head:
    try:
        found = Anchor.model_validate_json(file_text(file))
    except ValidationError:
        raise Refused("bad-anchor", f"{file} is not an anchor made by `holdfast audit anchor`") from None
    proof = Keyring(ring_path(settings.keys_dir)).prove(found.message(), found.signature)
    if proof is None or found.deployment != settings.deployment:
        raise Refused("bad-anchor", f"{file} was not signed by this deployment's gateway")
    return Head(found.seq, found.hash)


@audit.command("anchor", epilog="Example: holdfast audit anchor > anchor-2026-11-20.json")
def make_anchor() -> None:
    """Print the signed head of the chain. Keep it where nobody who can write the database can write."""
    console.print_json(json.dumps(plain(run(_anchor()))))


async def _anchor() -> Anchor:
    settings = Settings()
    signer = (local_signer if settings.mode == "local" else load_signer)(settings.keys_dir)
    async with office(settings) as here, transaction(here.pool) as conn:
        last = await head(conn)
        signature = signer.sign(_message(settings.deployment, last))
        await store_anchor(conn, last, signer.kid, signature)
    return Anchor(deployment=settings.deployment, seq=last.seq, hash=last.hash, kid=signer.kid, signature=signature)
