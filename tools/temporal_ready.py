"""Finds the Temporal server before the first test, or builds it, with progress: inside a test nobody would see it."""

import sys

from runtime.processes import LocalServerError
from runtime.temporal_server import find_temporal


def main() -> int:
    try:
        find_temporal(say=lambda line: print(line, flush=True))
    except LocalServerError as error:
        print(error, file=sys.stderr, flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
