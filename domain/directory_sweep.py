"""The daily look at who went, left or came back: absences begin and end with a date that no command tells of."""

from domain.model import Model

DIRECTORY_SWEEP = "DirectorySweep"


class SweepRequest(Model):
    """Everything that moved since the last sweep."""


class Swept(Model):
    told: int = 0  # open cases
