"""`check_books`: the books of each client against what was promised and confirmed (RL-11, RL-13)."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from pydantic import JsonValue
from temporalio import activity

from activities.beating import beating
from activities.ports import Books, BooksCases, Promises
from domain.books_check import (
    HOW_FAR_BACK,
    BooksChecked,
    BooksCheckRequest,
    BooksFinding,
    Charge,
    CheckedClient,
    Promise,
)
from domain.effects import ReadCharge
from domain.errors import Permanent, Retryable
from domain.gate import MoneyContext
from domain.rules.books_check import charges, unconfirmed

LONGEST_PAUSE = 90.0  # a vendor's limit is per minute
T = TypeVar("T")


class BooksCheckActivities:
    def __init__(self, books: Books, promises: Promises, cases: BooksCases) -> None:
        self.books, self.promises, self.cases = books, promises, cases

    @activity.defn(name="check_books")
    async def check_books(self, request: BooksCheckRequest) -> BooksChecked:
        """Opens a case for whatever is found. A client whose books can't be read keeps no other from being checked.

        Raises VendorError then, when all others are done: Temporal tries again, and nothing is opened twice.
        """
        done, unread = BooksChecked(), None
        async with beating():
            for client in await self.promises.clients():
                if request.client_id not in {"", client.client_id}:
                    continue
                try:
                    done = _added(done, *await self._check(client))
                except Permanent as error:
                    unread = error
        if unread:
            raise unread
        return done

    async def _check(self, client: CheckedClient) -> tuple[tuple[BooksFinding, ...], int]:
        found = await self._find(client)
        opened = [await self.cases.open(client.client_id, one) for one in found]
        return found, sum(opened)

    async def _find(self, client: CheckedClient) -> tuple[BooksFinding, ...]:
        notes = await _patient(lambda: self.books.credit_notes(client.contact_id))
        strange = unconfirmed(notes, await self.promises.confirmed(client.client_id)) if notes else ()
        if not client.promises:
            return strange
        invoices = await _patient(lambda: self.books.invoices(client.contact_id, client.today - HOW_FAR_BACK))
        return (*charges(client.promises, invoices, notes), *strange)


async def read_charge(books: Books, context: MoneyContext, effect: ReadCharge) -> dict[str, JsonValue]:
    """`charge`: what the books charge for the lead, None if nothing."""
    promise = Promise(lead_id=effect.lead_id, case_id=effect.promised_in)
    invoices = await books.invoices(context.contact_id, context.today - HOW_FAR_BACK)
    found = charges((promise,), invoices, await books.credit_notes(context.contact_id))
    return {"charge": found[0].model_dump(mode="json") if found else None}


async def _patient(read: Callable[[], Awaitable[T]]) -> T:
    """Waits once if the vendor says for how long."""
    try:
        return await read()
    except Retryable as error:
        pause = error.retry_after.total_seconds() if error.retry_after else LONGEST_PAUSE + 1
        if pause > LONGEST_PAUSE:
            raise
    await asyncio.sleep(pause)
    return await read()


def _added(done: BooksChecked, found: tuple[BooksFinding, ...], opened: int) -> BooksChecked:
    charged = sum(isinstance(one, Charge) for one in found)
    return BooksChecked(
        clients=done.clients + 1,
        charged=done.charged + charged,
        unconfirmed=done.unconfirmed + len(found) - charged,
        opened=done.opened + opened,
    )
