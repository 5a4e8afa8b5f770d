import shutil
from pathlib import Path

import pytest

from tools import system_packages
from tools.system_packages import by_hand, main, missing


def test_a_package_is_known_by_its_files(tmp_path: Path) -> None:
    (tmp_path / "there").touch()
    needed = {"one": (str(tmp_path / "there"),), "two": (str(tmp_path / "there"), str(tmp_path / "not"))}
    assert missing(needed) == ["two"]


def test_nobody_but_root_is_told_the_command_and_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(system_packages, "missing", lambda: ["dovecot-core"])
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    assert main() == 1
    assert (
        "sudo apt-get update && sudo apt-get install --yes --no-install-recommends dovecot-core"
        in capsys.readouterr().err
    )


def test_the_command_names_every_package() -> None:
    assert by_hand(["a", "b"]).endswith(" a b")
