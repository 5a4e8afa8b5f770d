"""The mail thread a case lives in, as stored (encrypted) with the case."""

from datetime import datetime

from domain.case import Model


class CaseThread(Model):
    """The client's original mail: whom an answer goes to, and where in the thread. Addresses are lower case.

    `department` is the address that was asked (RL-2), "" when the client wrote to the returns inbox himself. For
    requests opened without mail, `sender` is the client's own address and `message_id` is empty.
    """

    message_id: str = ""
    sender: str
    to: tuple[str, ...] = ()
    cc: tuple[str, ...] = ()
    subject: str = ""
    references: tuple[str, ...] = ()
    department: str = ""
    department_name: str = ""
    sent_at: datetime | None = None
    arrived_at: datetime
    text: str = ""
