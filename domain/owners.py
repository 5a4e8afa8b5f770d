"""Whose open steps are today: what a workflow asks when somebody went, left or came back, and what it is answered."""

from domain.model import Model


class StepOwner(Model):
    """An open step as the workflow has it."""

    step_id: str
    role: str
    claimed_by: str = ""  # person id
    reassigned_to: str = ""


class OwnerToday(Model):
    """Whose a step is today. `covered_by` does the work where none of its own people is here, "" else."""

    step_id: str
    claimed_by: str = ""
    reassigned_to: str = ""
    covered_by: str = ""
    asked: tuple[str, ...] = ()  # everybody it is asked of today, by person id
    fell_back: str = ""  # why they are not the role's own, "" if they are


class OwnersToday(Model):
    """The `data` of a receipt of `ResolveOwners`."""

    owners: tuple[OwnerToday, ...] = ()
