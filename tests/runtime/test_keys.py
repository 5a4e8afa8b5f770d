import json
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from runtime.keys import Keyring, KeysError, Signer, load_signer, local_signer, ring_path, rotate

AT = datetime(2026, 3, 10, 9, 0, tzinfo=UTC)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "keys"


def ring(folder: Path) -> Keyring:
    return Keyring(ring_path(folder))


def test_the_first_use_makes_one_key_that_proves_what_it_signed(folder: Path) -> None:
    signer = local_signer(folder)
    signature = signer.sign(b"said")
    proof = ring(folder).prove(b"said", signature)
    assert proof is not None
    assert (proof.kid, proof.retired_at) == (signer.kid, None)
    assert local_signer(folder).kid == load_signer(folder).kid == signer.kid


def test_the_private_key_is_for_its_owner_only_and_the_ring_holds_none(folder: Path) -> None:
    signer = local_signer(folder)
    assert stat.S_IMODE((folder / f"gateway-{signer.kid}.pem").stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) & 0o077 == 0
    assert json.loads(ring_path(folder).read_text()).keys() == {signer.kid}
    assert "PRIVATE" not in ring_path(folder).read_text()
    assert "private" not in repr(signer)


def test_a_private_key_that_others_may_read_is_not_used(folder: Path) -> None:
    signer = local_signer(folder)
    (folder / f"gateway-{signer.kid}.pem").chmod(0o644)
    with pytest.raises(KeysError, match="others may read"):
        load_signer(folder)


@pytest.mark.parametrize("signature", ["", "x", "=" * 86, "A" * 86, "A" * 85, "\u00e4" * 86, " " * 86, "A" * 5000])
def test_what_is_no_signature_proves_nothing(folder: Path, signature: str) -> None:
    local_signer(folder)
    assert ring(folder).prove(b"said", signature) is None


def test_a_signature_has_one_spelling(folder: Path) -> None:
    signature = local_signer(folder).sign(b"said")
    assert ring(folder).prove(b"said", signature) is not None
    for other in (signature + "=", signature + "==", signature + "\n", f" {signature}", signature[:-1] + "_"):
        assert ring(folder).prove(b"said", other) is None


def test_a_signature_is_over_these_bytes_and_by_this_key(folder: Path, tmp_path: Path) -> None:
    signature = local_signer(folder).sign(b"said")
    foreign = local_signer(tmp_path / "other").sign(b"said")
    assert ring(folder).prove(b"Said", signature) is None
    assert ring(folder).prove(b"said", foreign) is None


def test_a_rotation_is_noticed_by_a_ring_in_use_and_the_old_key_is_told_as_retired(folder: Path) -> None:
    old = local_signer(folder)
    signature, in_use = old.sign(b"said"), ring(folder)
    new = rotate(folder, AT)
    assert new.kid != old.kid
    proof = in_use.prove(b"said", signature)
    assert proof is not None
    assert proof.retired_at == int(AT.timestamp())
    assert (in_use.prove(b"said", new.sign(b"said")) or proof).retired_at is None
    assert load_signer(folder).kid == new.kid
    assert not (folder / f"gateway-{old.kid}.pem").exists()


def test_a_second_rotation_keeps_the_time_of_the_first(folder: Path) -> None:
    old = local_signer(folder)
    rotate(folder, AT)
    rotate(folder, AT + timedelta(days=90))
    proof = ring(folder).prove(b"said", Signer(old.kid, old.private).sign(b"said"))
    assert proof is not None
    assert proof.retired_at == int(AT.timestamp())


def test_a_key_taken_out_of_the_ring_proves_nothing_more(folder: Path) -> None:
    signer = local_signer(folder)
    in_use = ring(folder)
    ring_path(folder).write_text("{}")
    assert in_use.prove(b"said", signer.sign(b"said")) is None
    assert not in_use.knows(signer.kid)


def test_without_a_ring_nothing_proves_anything_until_there_is_one(folder: Path) -> None:
    early = ring(folder)
    assert early.prove(b"said", "A" * 86) is None
    signer = local_signer(folder)
    assert early.prove(b"said", signer.sign(b"said")) is not None


@pytest.mark.parametrize(
    "content",
    [
        "not json",
        "[]",
        '{"abc": {"public": "x"}}',
        '{"abc": {"public": "", "state": "active"}}',
        '{"abc": {"public": "AAAA", "state": "retired"}}',
        '{"abc": {"public": "AAAA", "state": "gone"}}',
    ],
)
def test_an_unfit_ring_is_refused(folder: Path, content: str) -> None:
    folder.mkdir()
    ring_path(folder).write_text(content)
    with pytest.raises(KeysError):
        ring(folder)


def test_a_ring_whose_names_are_swapped_is_refused(folder: Path, tmp_path: Path) -> None:
    mine, theirs = local_signer(folder), local_signer(tmp_path / "other")
    keys = json.loads(ring_path(folder).read_text())
    ring_path(folder).write_text(json.dumps({theirs.kid: keys[mine.kid]}))
    with pytest.raises(KeysError, match="unfit"):
        ring(folder)


def test_without_an_active_key_nothing_is_signed(folder: Path) -> None:
    with pytest.raises(KeysError, match="no active key"):
        load_signer(folder)
