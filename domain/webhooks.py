"""Why a webhook of a vendor is not believed. It is refused with a word, never with an exception."""

from enum import StrEnum

from domain.case import Model


class WebhookDoubt(StrEnum):
    NO_SECRET = "no-secret"  # noqa: S105 - a word; no secret of this vendor is known here, so nothing of his is believed
    UNSIGNED = "unsigned"
    BAD_SIGNATURE = "bad-signature"
    STALE = "stale"  # signed too long ago, or in the future
    MALFORMED = "malformed"  # well signed, and not what the vendor's description says


class WebhookRefusal(Model):
    code: WebhookDoubt
