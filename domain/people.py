"""Who may be asked: departments as queues, people by (issuer, sub), never by e-mail address."""

from enum import StrEnum

from pydantic import BaseModel, ConfigDict


class Role(StrEnum):
    """Whoever a step is asked of; resolved to people when it is asked, and anew at every chase."""

    RETURN_LEADS = "team:return-leads"
    ACCOUNTS = "team:accounts"
    CSM = "role:csm"
    ACCOUNT_MANAGER = "role:am"  # of a case: those in copy of the original mail, else the client's CSM (RL-10)
    APPROVER = "role:approver"
    PARTNER = "role:partner"
    OPERATIONS = "team:operations"


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
    roles: tuple[Role, ...] = ()
    managers_of: tuple[Role, ...] = ()
