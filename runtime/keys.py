"""The keys behind signed acts: Ed25519, private at the gateway alone, public in a ring that every judge reads itself.

A key that is taken out of the ring proves nothing any more, not even what was accepted: so a stolen one is ended.
A retired key still proves what was accepted before its retirement.
"""

import base64
import binascii
import fcntl
import json
import os
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Literal

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from pydantic import AwareDatetime, BaseModel, ConfigDict, TypeAdapter, ValidationError

from domain.case import Model
from domain.errors import HoldfastError
from domain.messages import ACT_DOMAIN, ActBody, SignedAct
from domain.rules.acts import Proof, written
from domain.texts import canonical, digest

RING = "acts.json"


class KeysError(HoldfastError):
    """Keys are missing or unfit: whoever needs them doesn't start."""


class RingKey(BaseModel):
    """One public key (base64url of 32 bytes). `retired_at` is set when, and only when, it is retired."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    public: str
    state: Literal["active", "retired"] = "active"
    retired_at: AwareDatetime | None = None


_RING = TypeAdapter(dict[str, RingKey])


@dataclass(frozen=True)
class Signer:
    """The gateway's private key."""

    kid: str
    private: Ed25519PrivateKey = field(repr=False)

    def sign(self, message: bytes) -> str:
        """The signature of a message, base64url without padding."""
        return _text(self.private.sign(message))


def signed_act(signer: Signer, body: ActBody, result: Model) -> SignedAct:
    """An act ready to be sent: `body` with the key's name and the result's digest filled in, signed."""
    payload = written(result)
    filled = body.model_copy(update={"kid": signer.kid, "payload_sha256": digest(payload)})
    text = canonical(filled.model_dump(mode="json"))
    return SignedAct(body=text, payload=payload, signature=signer.sign(ACT_DOMAIN + text.encode()))


class Keyring:
    """The public keys of a deployment, read again whenever the file changes, so that a rotation needs no restart.

    While there is no file yet, nothing proves anything. Raises KeysError where the file is unfit.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, int, int] | None = None
        self._keys: dict[str, tuple[Ed25519PublicKey, int | None]] = {}
        self._refresh()

    def prove(self, message: bytes, signature: str) -> Proof | None:
        """Which key made this signature over these bytes; None if no key of the ring did. Nothing is parsed."""
        self._refresh()
        raw = _bytes(signature)
        for kid, (public, retired_at) in self._keys.items():
            if raw is not None and _made_by(public, raw, message):
                return Proof(kid=kid, retired_at=retired_at)
        return None

    def knows(self, kid: str) -> bool:
        self._refresh()
        return kid in self._keys

    def _refresh(self) -> None:
        try:
            found = self._path.stat()
            stamp = (found.st_mtime_ns, found.st_size, found.st_ino)
            if stamp != self._stamp:
                self._keys = {kid: _usable(kid, key) for kid, key in _read_ring(self._path).items()}
                self._stamp = stamp
        except FileNotFoundError:
            self._keys, self._stamp = {}, None


def ring_path(keys_dir: Path) -> Path:
    return keys_dir / RING


def local_signer(keys_dir: Path) -> Signer:
    """The active private key, made at first use. For one machine: elsewhere an administrator puts it there."""
    with _locked(keys_dir):
        known = _read_ring(ring_path(keys_dir)) if ring_path(keys_dir).exists() else {}
        active = [kid for kid, key in known.items() if key.state == "active"]
        return _load(keys_dir, active[-1]) if active else _make(keys_dir, known)


def load_signer(keys_dir: Path) -> Signer:
    """The active private key; raises KeysError if there is none."""
    known = _read_ring(ring_path(keys_dir)) if ring_path(keys_dir).exists() else {}
    active = [kid for kid, key in known.items() if key.state == "active"]
    if not active:
        raise KeysError(f"no active key in {keys_dir}: `rotate` makes one")
    return _load(keys_dir, active[-1])


def rotate(keys_dir: Path, at: datetime) -> Signer:
    """Makes a new key and retires the others as of `at` (aware; database time). Their private halves are deleted."""
    with _locked(keys_dir):
        known = _read_ring(ring_path(keys_dir)) if ring_path(keys_dir).exists() else {}
        old = [kid for kid, key in known.items() if key.state == "active"]
        ended = {kid: known[kid].model_copy(update={"state": "retired", "retired_at": at}) for kid in old}
        signer = _make(keys_dir, known | ended)
        for kid in old:
            _private_path(keys_dir, kid).unlink(missing_ok=True)
        return signer


def _make(keys_dir: Path, known: dict[str, RingKey]) -> Signer:
    private = Ed25519PrivateKey.generate()
    public = _text(private.public_key().public_bytes_raw())
    kid = _kid(public)
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    _write(_private_path(keys_dir, kid), pem, 0o600)
    ring = _RING.dump_python(known | {kid: RingKey(public=public)}, mode="json", exclude_none=True)
    _write(ring_path(keys_dir), json.dumps(ring, indent=1).encode(), 0o644)
    return Signer(kid, private)


def _load(keys_dir: Path, kid: str) -> Signer:
    path = _private_path(keys_dir, kid)
    try:
        mode, pem = path.stat().st_mode, path.read_bytes()
    except OSError as error:
        raise KeysError(f"the private key {path} can't be read") from error
    if mode & 0o077:
        raise KeysError(f"others may read the private key {path}: chmod 600, and rotate it")
    try:
        private = load_pem_private_key(pem, password=None)
    except ValueError as error:
        raise KeysError(f"{path} is not a private key") from error
    if not isinstance(private, Ed25519PrivateKey) or _kid(_text(private.public_key().public_bytes_raw())) != kid:
        raise KeysError(f"{path} is not the key {kid}")
    return Signer(kid, private)


def _read_ring(path: Path) -> dict[str, RingKey]:
    try:
        return _RING.validate_json(path.read_bytes())
    except ValidationError as error:
        raise KeysError(f"{path} is not a ring of public keys") from error


def _usable(kid: str, key: RingKey) -> tuple[Ed25519PublicKey, int | None]:
    raw = _bytes(key.public)
    if raw is None or kid != _kid(key.public) or (key.state == "retired") != (key.retired_at is not None):
        raise KeysError(f"the key {kid} of the ring is unfit")
    try:
        public = Ed25519PublicKey.from_public_bytes(raw)
    except ValueError as error:
        raise KeysError(f"the key {kid} of the ring is unfit") from error
    return public, int(key.retired_at.timestamp()) if key.retired_at else None


def _made_by(public: Ed25519PublicKey, signature: bytes, message: bytes) -> bool:
    try:
        public.verify(signature, message)
    except InvalidSignature:
        return False
    return True


def _kid(public: str) -> str:
    return sha256(public.encode()).hexdigest()[:16]


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _bytes(text: str) -> bytes | None:
    """The bytes of base64url in its one spelling, else None."""
    try:
        raw = base64.urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
    except (ValueError, binascii.Error):
        return None
    return raw if _text(raw) == text else None


def _private_path(keys_dir: Path, kid: str) -> Path:
    return keys_dir / f"gateway-{kid}.pem"


def _write(path: Path, content: bytes, mode: int) -> None:
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


@contextmanager
def _locked(keys_dir: Path) -> Generator[None]:
    keys_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (keys_dir / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
