"""What vendors' webhooks have in common: an HMAC-SHA256 over the bytes as they came, by a secret that lives."""

import hmac
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from hashlib import sha256

from domain.webhooks import WebhookDoubt

WINDOW = timedelta(minutes=5)


def hmac_sha256(secret: str, message: bytes) -> bytes:
    return hmac.new(secret.encode(), message, sha256).digest()


def doubt_of(signed: bytes, given: str, secrets: Sequence[str], written: Callable[[bytes], str]) -> WebhookDoubt | None:
    """Why a signature is not believed, or None. Every secret is tried, in constant time, whichever one fits."""
    live = [secret for secret in secrets if secret]
    if not live:
        return WebhookDoubt.NO_SECRET
    if not given:
        return WebhookDoubt.UNSIGNED
    claimed = given.encode(errors="replace")
    fits = [hmac.compare_digest(written(hmac_sha256(secret, signed)).encode(), claimed) for secret in live]
    return None if any(fits) else WebhookDoubt.BAD_SIGNATURE


def header(headers: Mapping[str, str], name: str) -> str:
    """The value of a header, in whatever case its name came; "" if it is missing."""
    wanted = name.lower()
    return next((value.strip() for key, value in headers.items() if key.lower() == wanted), "")
