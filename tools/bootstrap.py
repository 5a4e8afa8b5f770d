"""Makes the virtual environment: run by `make setup` with any Python from 3.11 on, and with nothing installed."""

import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
UV = VENV / "bin" / "uv"
OLDEST = (3, 11)


def main() -> int:
    if sys.version_info < OLDEST:
        return _fail(f"Holdfast needs Python 3.11 or newer; {sys.executable} is {sys.version.split()[0]}")
    began = time.monotonic()
    try:
        _make_venv()
        _install()
    except subprocess.CalledProcessError as error:
        return _fail(f"this failed: {' '.join(str(word) for word in error.cmd)}")
    _say(f"set up in {time.monotonic() - began:.0f} s")
    return 0


def _make_venv() -> None:
    if not PYTHON.exists():
        _say(f"making {VENV.name} with Python {sys.version.split()[0]}")
        try:
            _run(sys.executable, "-m", "venv", "--clear", str(VENV))
        except subprocess.CalledProcessError:
            shutil.rmtree(VENV, ignore_errors=True)
            _say("this Python can't make virtual environments (Debian: apt-get install python3-venv)")
            raise
    _say("installing uv")
    pip = (str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    _run(*pip, "--require-hashes", "--requirement", "requirements/uv.txt")


def _install() -> None:
    _say("installing what requirements/dev.txt names, by hash: some seconds, a minute or two over a slow line")
    # The machine's own certificates: a network that inspects TLS is known only to them.
    install = (str(UV), "pip", "install", "--quiet", "--system-certs", "--python", str(PYTHON))
    _run(*install, "--require-hashes", "--requirement", "requirements/dev.txt")
    _run(*install, "--no-deps", "--no-build-isolation", "--editable", ".")


def _run(*command: str) -> None:
    subprocess.run(command, cwd=ROOT, check=True)


def _say(line: str) -> None:
    print(f"setup: {line}", flush=True)


def _fail(line: str) -> int:
    print(f"setup: {line}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
