"""Everything Holdfast needs on one machine: what `up` starts, in which order, and how `down` ends exactly that.

The one table of local processes is `local_services`. Tests use the same servers one by one: `temporal_server` and
`postgres_server`.
"""

import asyncio
import fcntl
import gc
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from temporalio.client import Client
from temporalio.service import RPCError

from runtime.connect import names_a_server
from runtime.namespace import ensure_namespace
from runtime.postgres_server import DATABASE, SUPERUSER, PostgresServer, ensure_database, postgres_server, prepare
from runtime.processes import (
    LOOPBACK,
    Account,
    LocalServerError,
    Record,
    Say,
    accepts_connections,
    end,
    forget,
    free_port,
    last_lines,
    read_records,
    record_of,
    refuse_taken_port,
    size_of,
    spawn,
    wait_until,
    write_record,
)
from runtime.settings import Hooking, Settings
from runtime.temporal_server import (
    TIME_TRAVEL,
    TemporalServer,
    Wanted,
    find_temporal,
    temporal_server,
)

__all__ = [
    "LocalServerError",
    "PostgresServer",
    "Service",
    "Start",
    "TemporalServer",
    "addresses",
    "down",
    "ensure_database",
    "find_temporal",
    "free_port",
    "local_services",
    "postgres_server",
    "running",
    "start_detached",
    "stop_recorded",
    "temporal_server",
    "up",
]

_ROOT = Path(__file__).resolve().parent.parent
_START_TIMEOUT = 60.0
_SETTLING_SECONDS = 1.5


@dataclass(frozen=True)
class Start:
    """How one process is started, once everything it needs was found or made."""

    command: Sequence[str]
    account: Account | None = None


@dataclass(frozen=True)
class Service:
    """One local process. `prepare` may take minutes, and says so."""

    name: str
    prepare: Callable[[Say], Start]
    ports: Mapping[str, int] = field(default_factory=dict[str, int])
    """The environment variable of each port it listens on, and the port."""
    ready: Callable[[], bool] | None = None
    stop_signal: signal.Signals = signal.SIGTERM


def local_services(settings: Settings, *, time_travel: bool = False) -> list[Service]:
    """What runs on this machine, in the order it is started. What a setting places elsewhere is left out."""
    simulators = [
        _simulator(settings, "xero", settings.xero_port, settings.xero_address, settings.xero_token),
        _simulator(settings, "sheets", settings.sheets_port, settings.sheets_address, settings.sheets_token),
        _simulator(settings, "livechat", settings.livechat_port, settings.livechat_address, settings.livechat_token),
        _simulator(
            settings,
            "teamwork",
            settings.teamwork_port,
            settings.teamwork_address,
            settings.teamwork_token,
            hooks="teamwork",
        ),
        _simulator(
            settings,
            "tickets",
            settings.tickets_port,
            settings.tickets_address,
            settings.tickets_token,
            hooks="tickets",
        ),
        _simulator(settings, "slack", settings.slack_port, settings.slack_address, settings.slack_token, hooks="slack"),
        _simulator(
            settings,
            "whatsapp",
            settings.whatsapp_port,
            settings.whatsapp_address,
            settings.whatsapp_token,
            hooks="whatsapp",
        ),
    ]
    return [
        *([] if settings.database_url else [_postgres(settings)]),
        *([] if names_a_server() else [_temporal(settings, time_travel=time_travel)]),
        *(service for service in simulators if service is not None),
        *([] if settings.smtp_server and settings.imap_server else [_mail(settings)]),
        _worker("sops", settings.metrics_port, "HOLDFAST_METRICS_PORT"),
        _worker("money", settings.money_metrics_port, "HOLDFAST_MONEY_METRICS_PORT"),
        Service("inbox", lambda _say: Start((sys.executable, "-m", "starter.inbox"))),
        *([] if settings.oidc_issuer else [_identity_provider(settings)]),
        _web(settings),
    ]


def up(
    settings: Settings,
    services: Sequence[Service] | None = None,
    *,
    after: Mapping[str, Callable[[], None]] | None = None,
    say: Say = print,
) -> list[Record]:
    """Starts every service that does not run yet and leaves them running. `after[name]` runs when that one is ready.

    Returns the records of all. Raises LocalServerError; what had been started by then goes on, and `down` ends it.
    """
    settings.run_dir.mkdir(parents=True, exist_ok=True)
    found: list[Record] = []
    with (settings.run_dir / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for service in local_services(settings) if services is None else services:
            found.append(start_detached(settings, service, say=say))
            if after and service.name in after:
                after[service.name]()
    return found


def down(settings: Settings, *, say: Say = print) -> int:
    """Ends what `up` started, last first, and nothing else. Returns how many processes that were."""
    ended = sum(stop_recorded(settings, record, say=say) for record in reversed(read_records(settings.run_dir)))
    if not ended:
        say("nothing of Holdfast was running")
    return ended


def running(settings: Settings) -> list[Record]:
    """The processes of `up` that are alive now, in the order of their start."""
    return [record for record in read_records(settings.run_dir) if record.alive]


def start_detached(settings: Settings, service: Service, *, say: Say = print) -> Record:
    """Starts one service, waits until it is ready and writes its record; an alive one is left as it is."""
    known = next((record for record in running(settings) if record.name == service.name), None)
    if known is not None:
        say(f"{service.name}: already running (process {known.pid})")
        return known
    for setting, port in service.ports.items():
        refuse_taken_port(port, setting)
    began = time.monotonic()
    start = service.prepare(lambda line: say(f"{service.name}: {line}"))
    log = settings.logs_dir / f"{service.name}.log"
    earlier = size_of(log)
    process = spawn(start.command, log, env=environment(settings), account=start.account)
    record = record_of(service.name, process.pid, start.command, service.stop_signal)
    write_record(settings.run_dir, record)
    _await_ready(settings, service, record, log, earlier)
    say(f"{service.name}: started in {time.monotonic() - began:.1f} s (process {record.pid}){_places(service)}")
    return record


def stop_recorded(settings: Settings, record: Record, *, say: Say = print) -> bool:
    """Ends the process of a record, if it is still that one, and forgets it."""
    was_alive = end(record)
    if was_alive:
        say(f"{record.name}: ended (process {record.pid})")
    forget(settings.run_dir, record.name)
    return was_alive


def environment(settings: Settings) -> dict[str, str]:
    """The settings that were given by hand, as variables for a child process."""
    given = {name: getattr(settings, name) for name in settings.model_fields_set | {"state_dir"}}
    return {f"HOLDFAST_{name.upper()}": _as_variable(value) for name, value in given.items()}


def addresses(settings: Settings) -> dict[str, str]:
    """Where a person or a program finds what `up` started."""
    return {
        "Pages": settings.web_url,
        "Temporal UI": f"http://{LOOPBACK}:{settings.temporal_ui_port}",
        "Temporal": f"{LOOPBACK}:{settings.temporal_port}",
        "PostgreSQL": f"{LOOPBACK}:{settings.postgres_port}, database {DATABASE}, user {SUPERUSER}",
        "SMTP": f"{settings.smtp_host}:{settings.smtp_port}",
        "IMAP": f"{settings.imap_host}:{settings.imap_port}",
        "Xero": settings.xero_url,
        "Google Sheets": settings.sheets_url,
        "Live Chat": settings.livechat_url,
        "Teamwork": settings.teamwork_url,
        "Tickets": settings.tickets_url,
        "Slack": settings.slack_url,
        "WhatsApp": settings.whatsapp_url,
        "Metrics": f"http://{LOOPBACK}:{settings.metrics_port}/metrics",
        "Metrics of the money worker": f"http://{LOOPBACK}:{settings.money_metrics_port}/metrics",
    }


def _postgres(settings: Settings) -> Service:
    data_dir = settings.state_dir.absolute() / "postgres"
    port = settings.postgres_port

    def make(say: Say) -> Start:
        prepared = prepare(data_dir, settings.database_password("owner"), say)
        say(str(prepared.binaries))
        return Start(prepared.command(port), prepared.account)

    return Service(
        "postgres",
        make,
        {"HOLDFAST_POSTGRES_PORT": port},
        lambda: _database_is_there(settings.database_url_for("owner")),
        stop_signal=signal.SIGINT,
    )


def _database_is_there(url: str) -> bool:
    """Whether the server takes connections; also makes the database that the URL names."""
    try:
        asyncio.run(ensure_database(url))
    except (OSError, TimeoutError):
        return False
    except Exception as error:
        # 57P03: it is starting up, or recovering from a kill.
        if getattr(error, "sqlstate", "") == "57P03":
            return False
        raise LocalServerError(f"PostgreSQL does not let its owner in: {error}") from error
    return True


def _temporal(settings: Settings, *, time_travel: bool) -> Service:
    address = f"{LOOPBACK}:{settings.temporal_port}"
    namespace = settings.temporal_namespace

    def make(say: Say) -> Start:
        binary = find_temporal(settings.temporal, say)
        db_file = settings.state_dir.absolute() / "temporal.db"
        extra: Mapping[str, Any] = TIME_TRAVEL if time_travel else {}
        wanted = Wanted(binary, db_file, settings.temporal_port, settings.temporal_ui_port, namespace, extra)
        return Start(wanted.command())

    return Service(
        "temporal",
        make,
        {"HOLDFAST_TEMPORAL_PORT": settings.temporal_port, "HOLDFAST_TEMPORAL_UI_PORT": settings.temporal_ui_port},
        lambda: accepts_connections(settings.temporal_port) and _namespace_is_there(address, namespace),
    )


def _namespace_is_there(address: str, namespace: str) -> bool:
    try:
        asyncio.run(_ensure_namespace(address, namespace))
    except (RuntimeError, RPCError):
        return False
    finally:
        # A client that lives until the interpreter ends can take the process down with it.
        gc.collect()
    return True


async def _ensure_namespace(address: str, namespace: str) -> None:
    await ensure_namespace(await Client.connect(address, namespace=namespace))


def _simulator(
    settings: Settings, name: str, port: int, elsewhere: str, token: SecretStr, hooks: Hooking | None = None
) -> Service | None:
    if elsewhere:
        return None
    state = settings.state_dir.absolute() / "simulators" / f"{name}.json"
    words = ["--port", str(port), "--state", str(state), "--token", token.get_secret_value()]
    if hooks:
        told = f"http://{LOOPBACK}:{settings.web_port}/webhooks/{name}"
        words += ["--webhook", told, "--webhook-secret", settings.webhook_secrets(hooks)[0]]

    def make(_say: Say) -> Start:
        state.parent.mkdir(parents=True, exist_ok=True)
        return Start((sys.executable, "-m", f"simulators.{name}", *words))

    return Service(name, make, {f"HOLDFAST_{name.upper()}_PORT": port}, lambda: accepts_connections(port))


def _mail(settings: Settings) -> Service:
    smtp, imap = settings.smtp_port, settings.imap_port
    folder = settings.state_dir.absolute() / "mail"
    words = ("--smtp-port", str(smtp), "--imap-port", str(imap), "--dir", str(folder))
    return Service(
        "mail",
        lambda _say: Start((sys.executable, "-m", "simulators.mail", *words)),
        {"HOLDFAST_SMTP_PORT": smtp, "HOLDFAST_IMAP_PORT": imap},
        lambda: accepts_connections(smtp) and accepts_connections(imap),
    )


def _identity_provider(settings: Settings) -> Service:
    port = settings.idp_port
    words = ("--port", str(port), "--people", str(_ROOT / "samples" / "people.csv"))
    return Service(
        "idp",
        lambda _say: Start((sys.executable, "-m", "simulators.idp", *words)),
        {"HOLDFAST_IDP_PORT": port},
        lambda: accepts_connections(port),
    )


def _web(settings: Settings) -> Service:
    port = settings.web_port
    return Service(
        "web",
        lambda _say: Start((sys.executable, "-m", "starter.web")),
        {"HOLDFAST_WEB_PORT": port},
        lambda: accepts_connections(port),
    )


def _worker(queue: str, port: int, setting: str) -> Service:
    return Service(
        f"worker-{queue}",
        lambda _say: Start((sys.executable, str(_ROOT / "worker.py"), "--queues", queue)),
        {setting: port},
        lambda: accepts_connections(port),
    )


def _await_ready(settings: Settings, service: Service, record: Record, log: Path, earlier: int) -> None:
    """Without a check of its own, a service counts as ready when it has lived for a while."""
    lived = time.monotonic() + _SETTLING_SECONDS
    ready = service.ready or (lambda: time.monotonic() > lived)
    wait_until(lambda: not record.alive or ready(), _START_TIMEOUT)
    if not record.alive:
        forget(settings.run_dir, record.name)
    elif ready():
        return
    what = f"is not ready after {_START_TIMEOUT:.0f} s" if record.alive else "ended while it started"
    raise LocalServerError(f"{service.name} {what}; {log} ends with\n{last_lines(log, since=earlier)}")


def _places(service: Service) -> str:
    return "".join(f", {LOOPBACK}:{port}" for port in service.ports.values())


def _as_variable(value: object) -> str:
    match value:
        case SecretStr():
            return value.get_secret_value()
        case timedelta():
            return f"PT{value.total_seconds():g}S"
        case Path():
            return str(value.absolute())
        case _:
            return str(value)
