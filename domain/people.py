"""Who may be asked: teams as queues, departments by their contacts, people by (issuer, sub), never by address."""

import re
from enum import StrEnum
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict


class Role(StrEnum):
    """Whoever a step is asked of; resolved to people when it is asked, and anew at every chase.

    Departments are data: they are asked by `department_role`, and their managers by `manager_role`.
    """

    RETURN_LEADS = "team:return-leads"
    ACCOUNTS = "team:accounts"
    CSM = "role:csm"
    CSS = "role:css"  # of a case: the Client Success Support of its CSM
    AGENCY_SERVICES = "role:agency-services"  # the Agency Services Manager, as the directory names them
    ACCOUNT_MANAGER = "role:am"  # of a case: those in copy of the original mail, else the client's CSM (RL-10)
    APPROVER = "role:approver"
    PARTNER = "role:partner"
    OPERATIONS = "team:operations"


AGENCY_SERVICES_DEPARTMENT = "agency-services-manager"


class Topic(StrEnum):
    """What a contact is asked about (ID-2)."""

    ANY = ""
    OPERATIONAL = "operational"
    CLIENT = "client"


class Department(NamedTuple):
    """A department as a step's role names it. Topic.ANY: what it is about follows from the case."""

    slug: str
    topic: Topic = Topic.ANY


_DEPARTMENT = re.compile(r"department:([a-z][a-z0-9-]{0,40})(?:/(operational|client))?")
_MANAGER = re.compile(r"manager:([a-z][a-z0-9-]{0,40})")


def department_role(slug: str, topic: Topic = Topic.ANY) -> str:
    """The role that asks a department's contacts."""
    return f"department:{slug}/{topic}" if topic else f"department:{slug}"


def manager_role(slug: str) -> str:
    """The role that asks a department's manager."""
    return f"manager:{slug}"


def department_in(role: str) -> Department | None:
    """The department that a role asks, None if it asks none."""
    found = _DEPARTMENT.fullmatch(role)
    return Department(found[1], Topic(found[2] or "")) if found else None


def speaks_for(role: str, asked: str) -> bool:
    """Whether whoever has `role` is meant where `asked` is: a whole department is meant whatever it is about."""
    whole, part = department_in(role), department_in(asked)
    return role == asked or bool(whole and part and whole.slug == part.slug and not whole.topic)


def managed_in(role: str) -> str:
    """The slug of the department whose manager a role asks, "" if it asks none."""
    found = _MANAGER.fullmatch(role)
    return found[1] if found else ""


class Identity(BaseModel):
    """A person as the identity provider knows them."""

    model_config = ConfigDict(frozen=True)
    issuer: str
    sub: str


class Person(BaseModel):
    model_config = ConfigDict(frozen=True)
    person_id: str
    name: str
    email: str
    identity: Identity
    roles: tuple[str, ...] = ()  # Role, department_role or manager_role: those they belong to today
    managers_of: tuple[str, ...] = ()
