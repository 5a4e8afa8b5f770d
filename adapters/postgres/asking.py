"""Whom an approval asks: those who may really decide about its case, by the rules that whoever signs is judged by.

Asking is a courtesy. Nobody is let decide because they were asked, and nobody refused because they were not.
"""

from collections.abc import Collection, Mapping
from datetime import datetime
from decimal import Decimal

from adapters.postgres.approvers import authority, involved
from adapters.postgres.crypto import Vault
from adapters.postgres.directory import Asked, who_is_asked
from adapters.postgres.orders_proven import Hierarchy, hierarchy
from adapters.postgres.pool import Connection
from adapters.postgres.subjects import case_word, subject_after
from domain.errors import Refused
from domain.messages import ActKind
from domain.people import Identity, Person, Role
from domain.rules.acts import Authority, Past, beyond, excluded
from domain.rules.stored_acts import Trust, Word

May = Mapping[Identity, Authority]
NO_APPROVER = "there is no approver: this goes to the partner"
INVOLVED = "the approver has a hand in this case: this goes to whoever decides instead"
NOBODY = (
    "the approver has a hand in this case, and it is above the ceiling of whoever stands in: a partner can appoint a"
    " stand-in with a higher one"
)
ALL_INVOLVED = "everybody who could decide has a hand in this case: the configuration has to name somebody else"


class Deciders:
    """`trust` says which acts and orders prove themselves."""

    def __init__(self, vault: Vault, trust: Trust) -> None:
        self._vault, self._trust = vault, trust

    async def of(self, conn: Connection, case_id: str) -> Asked:
        """Who is asked to decide about a case now. Where nobody may, whoever stands in and the partners are told why.

        A stand-in is not asked for what is above his ceiling.
        """
        at: datetime = await conn.fetchval("SELECT holdfast_now()")
        chain, said = await hierarchy(conn, self._trust), await case_word(conn, case_id, self._trust)
        past = await involved(conn, self._vault, case_id, said, self._trust)
        may = _may(chain, at, past)
        limited = any(one.ceiling_gbp is not None for one in may.values())
        sum_gbp = await self._sum(conn, case_id, said) if limited else None
        able = {who: one for who, one in may.items() if not beyond(ActKind.APPROVE, one, sum_gbp)}
        asked = list(able) or [*may, *_uninvolved(chain.in_role(Role.PARTNER, at), past)]
        people = await _people(conn, list(dict.fromkeys(asked)))
        return Asked(people, _why(chain.in_role(Role.APPROVER, at), may, able), named=_named(people, may))

    async def _sum(self, conn: Connection, case_id: str, said: Word) -> Decimal | None:
        """What a stand-in's ceiling is compared with; None where that can't be told."""
        try:
            about = await subject_after(conn, case_id, "approval", "", said, self._trust)
        except Refused:
            return None
        return about.asking.sum_gbp if about.asking else None


def _may(chain: Hierarchy, at: datetime, past: Past) -> May:
    """Who may decide about a case at all, and up to what."""
    found = {who: authority(chain, who, at, past) for who in _uninvolved(chain.possible(at), past)}
    return {who: one for who, one in found.items() if one}


def _uninvolved(people: Collection[Identity], past: Past) -> list[Identity]:
    return [who for who in people if not excluded(ActKind.APPROVE, who, frozenset(), past)]


async def _people(conn: Connection, asked: Collection[Identity]) -> tuple[Person, ...]:
    """They themselves, in this order; whoever is not known to the directory is known by their role."""
    known = {
        one.identity: one
        for role in (Role.PARTNER, Role.APPROVER)
        for one in (await who_is_asked(conn, role)).people
    }  # fmt: skip
    return tuple(known[who] for who in asked if who in known)


def _why(approvers: Collection[Identity], may: May, able: May) -> str:
    """Why it is not the approver who is asked, "" if it is."""
    if any(who in able for who in approvers):
        return ""
    if not approvers:
        return NO_APPROVER
    if able:
        return INVOLVED
    return NOBODY if may else ALL_INVOLVED


def _named(people: Collection[Person], may: May) -> str:
    """Who is asked, in words, and up to what those may decide who have a ceiling."""
    ceilings = {who: one.ceiling_gbp for who, one in may.items()}
    told = [(one.name, ceilings.get(one.identity)) for one in people]
    return " or ".join(name if most is None else f"{name} (up to GBP {most:,.2f})" for name, most in told)
