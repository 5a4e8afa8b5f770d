"""Every name that leaves a process is minted here, and never taken apart again.

Ids hold no personal data: they show in the Temporal UI, in search attributes and in logs.
"""

from hashlib import sha256

SOPS_QUEUE = "holdfast"
BOOKS_SCHEDULE = "books-check"
DIRECTORY_SCHEDULE = "directory-sweep"
DIGEST_SCHEDULE = "morning-digest"
REQUEST_SCHEDULE = "request-sweep"


def money_queue(sops_queue: str = SOPS_QUEUE) -> str:
    """The task queue of the money worker that belongs to a queue of workflows."""
    return f"{sops_queue}-money"


def door_queue(sops_queue: str = SOPS_QUEUE) -> str:
    """The task queue of the door that belongs to a queue of workflows."""
    return f"{sops_queue}-door"


def _digest(key: str) -> str:
    return sha256(key.encode()).hexdigest()[:16]


def return_lead_case(key: str) -> str:
    """The case of one return-lead request; `key` is the client's Message-ID or the caller's own reference."""
    return f"return-lead/{_digest(key)}"


def department_case(key: str) -> str:
    """The case of one department request; `key` is the caller's reference, or names the task or ticket it is about."""
    return f"department-request/{_digest(key)}"


def asked_case(case_id: str, key: str) -> str:
    """The department request that a case opened; `key` is the effect that opens it."""
    return department_case(f"{case_id}|{key}")


def linked_case(case_id: str, reason: str, event_id: str) -> str:
    """A later look at a case that has ended, opened once per event."""
    return f"{case_id}/{reason}-{_digest(event_id)}"


def overturned_case(case_id: str, key: str) -> str:
    """The case in which leads are settled whose refusal was overturned; `key` is the effect that opens it."""
    return linked_case(case_id, "overturned", key)


def workflow_id(case_id: str, cycle: int = 1) -> str:
    """The workflow of a case: the case id itself, or its N-th cycle after a re-opening."""
    return case_id if cycle == 1 else f"{case_id}/cycle-{cycle}"


def effect_key(case_id: str, name: str, ordinal: int | str = 1) -> str:
    """The key of one effect: UNIQUE for ever, the same on every retry, reset and continue-as-new."""
    return f"{case_id}/{name}/{ordinal}"


def is_of_case(key: str, case_id: str) -> bool:
    """Whether an effect's key is one of this case, and not of a case that was linked to it."""
    return key.startswith(f"{case_id}/") and key.count("/", len(case_id) + 1) == 1


def message_id(key: str, domain: str) -> str:
    """The Message-ID of a mail we send: derived from its effect key, so that a retry carries the same one."""
    return f"<{sha256(key.encode()).hexdigest()[:32]}@{domain}>"


def credit_note_number(case_id: str, invoice_number: str, turn: int = 1) -> str:
    """The number by which one case's credit note for one invoice is read back in the books.

    `turn`: which confirmation it rests on. The books take no number twice, not even after the note was deleted.
    """
    first = f"RL-{_digest(f'{case_id}|{invoice_number}')[:12].upper()}"
    return first if turn == 1 else f"{first}-{turn}"


def is_credit_note_of(number: str, case_id: str, invoice_number: str) -> bool:
    """Whether a number is that of one of the case's credit notes for an invoice, whichever confirmation it rests on."""
    first = credit_note_number(case_id, invoice_number)
    return number == first or number.startswith(f"{first}-")


def case_token(case_id: str, prefix: str = "RL") -> str:
    """The token in our subjects by which a reply without references still finds its case."""
    return f"{prefix}#{_digest(case_id)[:10]}"


def part_of(key: str) -> str:
    """A short name for a long key, for the id of a step that is about it."""
    return _digest(key)[:8]


def invoiced_case(promised_in: str, lead_id: str, time: int = 1) -> str:
    """The case of a lead that is invoiced against a case's promise; `time` is how often that has happened by now."""
    return f"invoiced/{_digest(f'{promised_in}|{lead_id}|{time}')}"


def money_people_case(name: str) -> str:
    """The case in which the approver is told of one change of who acts for money."""
    return f"money-people/{_digest(name)}"


def unconfirmed_note_case(note_id: str) -> str:
    """The case of one credit note without a confirmation on record."""
    return f"unconfirmed-note/{_digest(note_id)}"


def marker(key: str) -> str:
    """What finds a task, a comment or a note of ours again: the effect's key, of which it shows nothing."""
    return f"[holdfast:{_digest(f'marker|{key}')}]"


def at_work_key(key: str) -> str:
    """The effect that sends a nudge which waited until somebody was at work."""
    return f"{key}/at-work"


def digest_key(recipient: str, day: str) -> str:
    """The effect that is one recipient's digest of one day (such as 2026-11-25)."""
    return f"digests/{_digest(recipient)}/{day}"
