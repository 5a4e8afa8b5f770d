"""Sees to the system's packages that the tests need: installs them as root with apt-get, else says how, and fails."""

import os
import shutil
import subprocess
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

NEEDED: Mapping[str, tuple[str, ...]] = {
    "dovecot-core": ("/usr/sbin/dovecot",),
    "dovecot-imapd": ("/usr/lib/dovecot/imap",),
    "dovecot-lmtpd": ("/usr/lib/dovecot/lmtp",),
    "chromium": ("/usr/bin/chromium",),
}
"""Debian's packages, and the files by which each is known to be there."""

_POLICY = Path("/usr/sbin/policy-rc.d")


def missing(needed: Mapping[str, tuple[str, ...]] = NEEDED) -> list[str]:
    return [name for name, files in needed.items() if not all(Path(file).exists() for file in files)]


def main() -> int:
    wanted = missing()
    if not wanted:
        return 0
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        print(f"these packages are missing; install them and try again:\n  {by_hand(wanted)}", file=sys.stderr)
        return 1
    print(f"installing {', '.join(wanted)}", flush=True)
    try:
        _install(wanted)
    except subprocess.CalledProcessError as error:
        print(f"apt-get failed ({error.returncode}); by hand: {by_hand(wanted)}", file=sys.stderr)
        return 1
    still = missing()
    if still:
        print(f"apt-get installed {', '.join(still)}, but not where they are looked for", file=sys.stderr)
    return 1 if still else 0


def by_hand(packages: list[str]) -> str:
    """The command for a person to copy."""
    return f"sudo apt-get update && sudo apt-get install --yes --no-install-recommends {' '.join(packages)}"


def _install(packages: list[str]) -> None:
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with _services_left_alone():
        subprocess.run(["apt-get", "update", "--quiet=2"], check=True, env=env)
        command = ["apt-get", "install", "--yes", "--quiet=2", "--no-install-recommends", *packages]
        subprocess.run(command, check=True, env=env)


@contextmanager
def _services_left_alone() -> Generator[None]:
    """Debian starts a server when it is installed; the tests start their own, on loopback."""
    if _POLICY.exists():
        yield
        return
    _POLICY.write_text("#!/bin/sh\nexit 101\n")
    _POLICY.chmod(0o755)
    try:
        yield
    finally:
        _POLICY.unlink()


if __name__ == "__main__":
    sys.exit(main())
