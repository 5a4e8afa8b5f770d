"""Floods: what comes in comes again and again, at once and in any order, by every door; each of it is one case."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from secrets import token_hex

import httpx2
import pytest

from simulators.mail import AUTHSERV_ID
from starter.handover import Handover
from tests.agency import CLIENT, CLIENT_MAIL, letter
from tests.starter.api.office import ApiOffice, Key
from tests.starter.api.test_webhooks import teamwork
from tests.workflows.desk import LIST, Desk, furnish

Send = Callable[[], Awaitable[None]]
AT_ONCE = 16


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_three_hundred_events_that_come_up_to_five_times_are_three_hundred_cases(api: ApiOffice) -> None:
    await flooded(api, 300)


@pytest.mark.long
@pytest.mark.timeout(3000)
async def test_five_thousand_events_are_five_thousand_cases(api: ApiOffice) -> None:
    await flooded(api, 5_000)


async def flooded(api: ApiOffice, count: int) -> None:
    """A third each by mail, over the API, and as webhooks of tasks that somebody made on the client's list."""
    desk = await furnish(api.agency)
    key = await api.key(per_minute=1_000_000)
    each = count // 3
    events = [_mail(desk) for _ in range(count - 2 * each)]
    events += [_request(key) for _ in range(each)]
    async with httpx2.AsyncClient(timeout=300) as http:
        key.http = http
        events += [_task(desk, api, http) for _ in range(each)]
        chance = random.Random(20261125)  # noqa: S311 - the same order every time
        sent = [event for event in events for _ in range(chance.randint(1, 5))]
        chance.shuffle(sent)
        await _all_at_once(sent)
    await desk.agency.database.execute("UPDATE looks SET next_at = now()")
    while any(await asyncio.gather(*(desk.agency.boards.look() for _ in range(3)))):
        pass
    await _exactly(desk, count)
    await _handed_over_once(desk, count)


def _mail(desk: Desk) -> Send:
    """As it is read from the inbox, our own server's word about its sender on top."""
    raw = letter("L-1005", message_id=f"<{token_hex(8)}@acme-plumbing.example>").as_bytes()
    proven = f"Authentication-Results: {AUTHSERV_ID}; dmarc=pass header.from={CLIENT_MAIL.partition('@')[2]}\r\n"

    async def send() -> None:
        await desk.agency.door.accept_mail(proven.encode() + raw)

    return send


def _request(key: Key) -> Send:
    name = token_hex(8)
    body = {"reference": name, "department": "ppc", "client_id": CLIENT, "title": "Pause the brand campaign"}

    async def send() -> None:
        answer = await key.post("/cases/department-requests", body, once=name)
        assert answer.status_code in {200, 201}, answer.text

    return send


def _task(desk: Desk, api: ApiOffice, http: httpx2.AsyncClient) -> Send:
    made = desk.agency.outside.teamwork.change({"op": "create", "tasklistId": int(LIST), "name": "Broken form"})
    assert isinstance(made, dict)
    body, headers = teamwork(str(made["id"]), "TASK.CREATED")

    async def send() -> None:
        answer = await http.post(f"{api.address}/webhooks/teamwork", content=body, headers=headers)
        assert answer.status_code == 200

    return send


async def _all_at_once(sends: list[Send]) -> None:
    room = asyncio.Semaphore(AT_ONCE)

    async def one(send: Send) -> None:
        async with room:
            await send()

    await asyncio.gather(*map(one, sends))


async def _exactly(desk: Desk, count: int) -> None:
    database = desk.agency.database
    assert await database.value("SELECT count(*) FROM cases") == count
    started = "SELECT count(*), count(DISTINCT case_id) FROM inbox WHERE action #>> '{steps,0,do}' = 'start'"
    assert tuple((await database.fetch(started))[0]) == (count, count)
    assert await database.value("SELECT count(*) FROM inbox WHERE state = 'dead'") == 0


async def _handed_over_once(desk: Desk, count: int) -> None:
    """Three at once, as if the inbox ran on three machines; on a queue that nobody works on."""
    queue = f"flood-{token_hex(4)}"
    several = [Handover(desk.agency.door.intake, desk.agency.client, queue=queue) for _ in range(3)]
    while any(await asyncio.gather(*(one.run_once() for one in several))):
        pass
    assert await desk.agency.database.value("SELECT count(*) FROM inbox WHERE state = 'accepted'") == 0

    async def started() -> bool:
        return (await desk.agency.client.count_workflows(f"TaskQueue = '{queue}'")).count == count

    await desk.agency.eventually(started, f"not {count} workflows were started")
