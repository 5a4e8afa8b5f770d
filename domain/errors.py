"""The few errors of Holdfast.

Messages are shown to people: they say what is wrong and what to do, and hold no personal data.
"""

from datetime import timedelta


class HoldfastError(Exception):
    """Anything Holdfast raises on purpose. `str(error)` may be shown to a user and logged."""


class Refused(HoldfastError):
    """Bad input at a door: nothing was changed.

    `code` is a stable kebab-case word for machines (`unknown-currency`), the message a sentence for people.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class VendorError(HoldfastError):
    """An outside system did not do what was asked. `code` is stable and holds no personal data."""

    def __init__(self, vendor: str, code: str, message: str) -> None:
        super().__init__(f"{vendor}: {message}")
        self.vendor = vendor
        self.code = code


class Retryable(VendorError):
    """Certainly not done; asking again later may work (connection refused, 429, 503 before processing)."""

    def __init__(self, vendor: str, code: str, message: str, retry_after: timedelta | None = None) -> None:
        super().__init__(vendor, code, message)
        self.retry_after = retry_after


class Permanent(VendorError):
    """Certainly not done, and asking again the same way will not work (4xx, SMTP 5xx)."""


class Unclear(VendorError):
    """It may or may not have been done (timeout or cut after sending, 500): read back before anything else."""
