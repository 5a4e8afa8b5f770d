"""Whom something goes to: by what it is about (ID-2), and by who is here today."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from domain.people import Topic
from domain.rules.acts import Ownership


class Contact(NamedTuple):
    """One of a department's contacts, and what they are asked about."""

    person_id: str
    topic: Topic = Topic.ANY


def topic_of(*, operational: bool, client_related: bool) -> Topic:
    """ID-2: anything operational, or not related to a client, is one thing; client-related items are the other."""
    return Topic.CLIENT if client_related and not operational else Topic.OPERATIONAL


def about(contacts: Sequence[Contact], topic: Topic) -> tuple[str, ...]:
    """Those of the contacts, in their order, who are asked about this. Topic.ANY: all of them."""
    wanted = {Topic.ANY, topic} if topic else set(Topic)
    return tuple(dict.fromkeys(one.person_id for one in contacts if one.topic in wanted))


@dataclass(frozen=True)
class Presence:
    """Who is not here today, and who does their work: by person id.

    `left` names whoever took over for good, "" if nobody; `away` those who stand in during an absence; `beside` those
    who stand in for somebody who is here all the same.
    """

    left: Mapping[str, str] = field(default_factory=dict[str, str])
    away: Mapping[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])
    beside: Mapping[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])

    def is_here(self, person_id: str) -> bool:
        return person_id not in self.left and person_id not in self.away


def covers(person_id: str, presence: Presence) -> tuple[str, ...]:
    """Who does a person's work today: themselves if they are here; else whoever covers for them, however far that
    goes, and never in a circle. () if it is nobody.
    """
    return _covers(person_id, presence, frozenset())


def _covers(person_id: str, presence: Presence, seen: frozenset[str]) -> tuple[str, ...]:
    if person_id in seen:
        return ()
    if presence.is_here(person_id):
        return (person_id,)
    instead = (presence.left.get(person_id, ""), *presence.away.get(person_id, ()), *presence.beside.get(person_id, ()))
    found = (one for next_one in instead if next_one for one in _covers(next_one, presence, seen | {person_id}))
    return tuple(dict.fromkeys(found))


def asked_today(people: Sequence[str], presence: Presence) -> tuple[str, ...]:
    """Whom something goes to that belongs to these people: those who are here, whoever stands in beside them, and
    whoever covers for the others.
    """
    asked = list[str]()
    for person_id in people:
        asked += covers(person_id, presence)
        asked += [one for beside in presence.beside.get(person_id, ()) for one in covers(beside, presence)]
    return tuple(dict.fromkeys(asked))


def covered_by(owners: Sequence[str], presence: Presence) -> str:
    """Who covers today for something of which none of its owners is here; "" if one of them is, or nobody does."""
    if not owners or any(presence.is_here(one) for one in owners):
        return ""
    return next(iter(asked_today(owners, presence)), "")


def owned_today(own: Ownership, presence: Presence) -> Ownership:
    """A step of somebody who left is their successor's, or the queue's again; one of somebody away stays theirs, and
    whoever covers for them may act on it.
    """
    seen = set[str]()
    while own.owner in presence.left:
        seen.add(own.owner)
        successor = presence.left[own.owner]
        own = Ownership(reassigned_to="" if successor in seen else successor)
    instead = tuple(one for one in asked_today([own.owner], presence) if one != own.owner) if own.owner else ()
    return replace(own, covers=instead)
