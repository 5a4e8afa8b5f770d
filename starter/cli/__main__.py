"""`python -m starter.cli` is `holdfast`."""

from starter.cli.app import main

if __name__ == "__main__":
    main()
