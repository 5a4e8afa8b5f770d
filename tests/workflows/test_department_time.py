"""Department requests and time: two things at one instant, just before and just after, and nobody nudged too late."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress
from datetime import timedelta
from secrets import token_hex

import pytest
from temporalio.client import Client

from domain.case import EventKind
from domain.department_request import Estimate
from domain.messages import ActKind, FactKind
from runtime.connect import connect
from runtime.settings import Settings
from runtime.temporal_server import TemporalServer
from tests.agency import eventually
from tests.workflows.department_stand_in import PEOPLE, Asked, Town, ask, working

HOUR, MINUTE, SOON = timedelta(hours=1), timedelta(minutes=1), timedelta(seconds=2)


@pytest.fixture
async def client(temporal: TemporalServer) -> Client:
    return await connect(Settings(), address=temporal.address)


@pytest.fixture
def town() -> Town:
    return Town()


@pytest.fixture
def queue() -> str:
    return f"department-{token_hex(4)}"


@pytest.fixture
async def at_work(client: Client, town: Town, queue: str) -> AsyncGenerator[None]:
    async with working(client, town, queue):
        yield


async def done(case: Asked) -> None:
    """Nothing that should not have been asked was, and the case is closed once."""
    assert case.world.wrong == []
    assert len(case.world.closed) == 1


def reminded(case: Asked) -> list[str]:
    return [f"{one.step_id} {one.chase}" for one in case.world.reminders()]


@pytest.mark.clause("ID-3")
@pytest.mark.usefixtures("at_work")
async def test_done_just_before_it_is_due_breaks_nothing(client: Client, town: Town, queue: str) -> None:
    case = await ask(client, town, queue)
    step = await case.step("process")
    await case.settled()
    await case.forward_to(step.deadline.due - MINUTE)
    assert not [one for one in reminded(case) if one.startswith("process")]
    await case.ends(step)
    assert (await case.result()).status == "done"
    assert not [one for one in case.world.events if one.kind is EventKind.BREACHED and one.step_id == "process"]
    await done(case)


@pytest.mark.clause("ID-3")
@pytest.mark.usefixtures("at_work")
async def test_done_just_after_it_was_due_was_reminded_of_once(client: Client, town: Town, queue: str) -> None:
    case = await ask(client, town, queue)
    step = await case.step("process")
    await case.settled()
    await case.forward_to(step.deadline.due + MINUTE)
    await case.ends(step)
    assert (await case.result()).status == "done"
    assert [one for one in reminded(case) if one.startswith("process")] == ["process 1"]
    broken = [one for one in case.world.events if one.kind is EventKind.BREACHED and one.step_id == "process"]
    assert len(broken) == 1
    await done(case)


async def fired(case: Asked) -> int:
    told = (await case.handle.fetch_history()).to_json_dict()["events"]
    return sum(one["eventType"] == "EVENT_TYPE_TIMER_FIRED" for one in told)


async def timer_fired(case: Asked, *, times: int = 1) -> None:
    async def there() -> bool:
        return await fired(case) >= times

    await eventually(there, "no timer fired")


@pytest.mark.clause("ID-3")
@pytest.mark.parametrize("first", ["act", "timer"])
@pytest.mark.parametrize("what", ["act", "hint"])
async def test_done_at_the_instant_it_is_due_is_done_and_nobody_is_reminded(
    client: Client, town: Town, queue: str, what: str, first: str
) -> None:
    """Both wait for the worker in one task, in either order."""
    async with working(client, town, queue):
        case = await ask(client, town, queue, due_after=SOON)
        step = await case.step("process")
        await case.settled()
    if first == "timer":
        await timer_fired(case)
    if what == "act":
        await case.ends(step)
    else:
        case.world.changes(completed=True, completed_by="barb")
        await case.tell(FactKind.TASK)
    await timer_fired(case)
    async with working(client, town, queue):
        ended = await case.result()
    assert (ended.status, ended.by) == ("done" if what == "act" else "done-in-teamwork", "barb")
    assert reminded(case) == []
    await done(case)


@pytest.mark.clause("ID-3")
@pytest.mark.usefixtures("at_work")
async def test_what_is_said_while_the_task_is_read_before_a_reminder_counts(
    client: Client, town: Town, queue: str
) -> None:
    case = await ask(client, town, queue, due_after=SOON)
    step = await case.step("process")
    await case.settled()
    case.world.gate.clear()
    await timer_fired(case)
    await in_flight(case)
    await case.ends(step)
    case.world.gate.set()
    assert (await case.result()).status == "done"
    assert reminded(case) == []
    await done(case)


async def in_flight(case: Asked) -> None:
    async def asked() -> bool:
        return bool((await case.handle.describe()).raw_description.pending_activities)

    await eventually(asked, "the task was not read")


@pytest.mark.clause("ID-5")
@pytest.mark.usefixtures("at_work")
async def test_a_deadline_that_moves_while_the_task_is_read_is_not_reminded_of(
    client: Client, town: Town, queue: str
) -> None:
    case = await ask(client, town, queue, due_after=SOON, unsure=True)
    await case.step("estimate")
    await case.settled()
    case.world.changes(estimate=Estimate(hours=240))  # read before the reminder, and by nobody before
    await timer_fired(case)
    await until_moved(case)
    assert reminded(case) == []
    assert case.world.wrong == []


async def until_moved(case: Asked) -> None:
    async def there() -> bool:
        return bool((await case.step("process")).deadline.moved)

    await eventually(there, "the due date did not follow the estimate")
    await case.settled()


@pytest.mark.clause("ID-5")
@pytest.mark.usefixtures("at_work")
async def test_an_estimate_after_the_due_date_moves_it_and_says_from_where(
    client: Client, town: Town, queue: str
) -> None:
    case = await ask(client, town, queue, unsure=True)
    await case.step("process")
    await case.settled()
    await case.forward(49 * HOUR)
    assert [one for one in reminded(case) if one.startswith("process")] == ["process 1"]
    assert [one for one in reminded(case) if one.startswith("estimate")] == ["estimate 1"]
    before = (await case.step("process")).deadline
    await case.ends(await case.step("estimate"))
    await until_moved(case)
    after = (await case.step("process")).deadline
    (moved,) = after.moved
    assert (moved.before, moved.after, moved.by, moved.why) == (before.due, after.due, "pete", "the estimate")
    assert abs(after.due - await case.now() - 72 * HOUR) < MINUTE
    await case.forward(71 * HOUR)
    assert [one for one in reminded(case) if one.startswith("process")] == ["process 1"]
    await case.forward(2 * HOUR)
    assert [one for one in reminded(case) if one.startswith("process")][:2] == ["process 1", "process 2"]
    assert case.world.wrong == []


@pytest.mark.clause("ID-5")
async def test_the_manager_s_answer_at_the_instant_of_its_reminder_is_taken_and_not_reminded_of(
    client: Client, town: Town, queue: str
) -> None:
    async with working(client, town, queue):
        case = await ask(client, town, queue, unsure=True, due_after=240 * HOUR)
        step = await case.step("estimate")
        await case.settled()
    passing = asyncio.create_task(case.forward_to(step.deadline.due))
    await timer_fired(case)
    await case.ends(step)
    async with working(client, town, queue):
        await until_moved(case)
        with suppress(TimeoutError):
            await passing
        assert reminded(case) == []
        assert case.world.wrong == []


@pytest.mark.clause("ID-5")
@pytest.mark.clause("ID-8")
@pytest.mark.parametrize("first", ["act", "timer"])
@pytest.mark.parametrize("name", ["estimate", "follow-up"])
async def test_an_answer_at_the_instant_of_its_reminder_is_taken_in_either_order(
    client: Client, town: Town, queue: str, name: str, first: str
) -> None:
    async with working(client, town, queue):
        case = await ask(client, town, queue, unsure=name == "estimate", due_after=240 * HOUR)
        await case.step("process")
        await case.settled()
        if name == "follow-up":
            await case.forward(37 * HOUR)
        step = await case.step(name)
        due = (await case.now() + SOON).isoformat()
        await case.act(step.step_id, ActKind.MOVE.value, PEOPLE[step.role], {}, due=due)
        await case.settled()
        before = await fired(case)
    if first == "timer":
        await timer_fired(case, times=before + 1)
    await case.ends(step)
    await timer_fired(case, times=before + 1)
    async with working(client, town, queue):
        await case.settled()
        assert [one.name for one in (await case.view()).steps] == ["process"]
        assert reminded(case) == []
        await case.ends(await case.step("process"))
        await case.result()
    await done(case)


@pytest.mark.clause("ID-5")
@pytest.mark.usefixtures("at_work")
@pytest.mark.parametrize(("at", "reminders"), [(24 * HOUR - MINUTE, []), (24 * HOUR + MINUTE, ["estimate 1"])])
async def test_an_estimate_is_reminded_of_and_its_promise_broken_only_after_24_hours(
    client: Client, town: Town, queue: str, at: timedelta, reminders: list[str]
) -> None:
    case = await ask(client, town, queue, unsure=True, due_after=240 * HOUR)
    step = await case.step("estimate")
    await case.settled()
    await case.forward_to(step.asked_at + at)
    assert reminded(case) == reminders
    await case.ends(step)
    await until_moved(case)
    assert reminded(case) == reminders
    assert len(broken(case, "solution-proposed")) == len(reminders)


def broken(case: Asked, clock: str) -> list[EventKind]:
    told = [one for one in case.world.events if one.kind is EventKind.BREACHED and one.data.get("clock") == clock]
    return [one.kind for one in told]


@pytest.mark.clause("ID-6")
@pytest.mark.usefixtures("at_work")
@pytest.mark.parametrize(("at", "late"), [(4 * HOUR - MINUTE, 0), (4 * HOUR + MINUTE, 1)])
async def test_what_stands_on_no_task_is_a_broken_promise_after_four_hours_and_not_before(
    client: Client, town: Town, queue: str, at: timedelta, late: int
) -> None:
    case = await ask(client, town, queue, down="board")
    opened = (await case.step("process")).asked_at
    await case.settled()
    await case.forward_to(opened + at)
    assert len(broken(case, "acknowledge")) == late


@pytest.mark.clause("ID-8")
@pytest.mark.usefixtures("at_work")
@pytest.mark.parametrize(("at", "reminders"), [(48 * HOUR - MINUTE, []), (48 * HOUR + MINUTE, ["follow-up 1"])])
async def test_a_follow_up_is_reminded_of_only_after_48_hours_without_a_note(
    client: Client, town: Town, queue: str, at: timedelta, reminders: list[str]
) -> None:
    case = await ask(client, town, queue, due_after=240 * HOUR)
    opened = (await case.step("process")).asked_at
    await case.settled()
    await case.forward_to(opened + at)
    assert reminded(case) == reminders
    before = await case.step("follow-up")
    assert abs(before.deadline.since + before.deadline.after - opened - (48 + 48 * len(reminders)) * HOUR) < MINUTE
    await case.ends(before)
    await case.settled()
    assert [one.kind for one in case.world.sent("comment-task")] == ["comment-task"] * 2
    assert reminded(case) == reminders
    await case.ends(await case.step("process"))
    await case.result()
    await done(case)


@pytest.mark.clause("ID-8")
@pytest.mark.usefixtures("at_work")
@pytest.mark.parametrize("where", ["here", "in Teamwork when asked", "in Teamwork before being asked"])
async def test_the_promise_of_the_next_note_is_in_the_tables_as_soon_as_a_note_is_written(
    client: Client, town: Town, queue: str, where: str
) -> None:
    case = await ask(client, town, queue, due_after=240 * HOUR)
    await case.step("process")
    await case.settled()
    await case.forward((30 if "before" in where else 37) * HOUR)
    if where == "here":
        await case.ends(await case.step("follow-up"))
    else:
        case.world.changes(noted=1)
        await case.tell(FactKind.TASK)
    noted_at = await case.now()

    async def is_written() -> bool:
        written = case.world.written
        return bool(written and any(one.clock_id == "next-reply.2" for one in written.clocks))

    await eventually(is_written, "the next promise is not in the tables", 5)
    assert case.world.written is not None
    shown, written = ({one.clock_id: one for one in view.clocks} for view in (await case.view(), case.world.written))
    assert abs(written["next-reply.2"].due - noted_at - 48 * HOUR) < MINUTE
    assert shown["next-reply.2"].due == written["next-reply.2"].due
    assert not shown["next-reply"].runs
    assert not written["next-reply"].runs


@pytest.mark.clause("ID-8")
@pytest.mark.usefixtures("at_work")
async def test_the_css_is_not_asked_to_follow_up_what_was_completed_without_a_word(
    client: Client, town: Town, queue: str
) -> None:
    """The webhook was lost: the task is read before the CSS is asked, not only before the department is reminded."""
    case = await ask(client, town, queue, due_after=240 * HOUR)
    opened = (await case.step("process")).asked_at
    await case.settled()
    case.world.changes(completed=True, completed_by="barb")
    await case.forward_to(opened + 37 * HOUR)
    assert (await case.result()).status == "done-in-teamwork"
    assert case.world.nudges == []
    await done(case)


@pytest.mark.clause("ID-8")
@pytest.mark.usefixtures("at_work")
async def test_a_note_in_teamwork_whose_webhook_was_lost_is_a_follow_up_all_the_same(
    client: Client, town: Town, queue: str
) -> None:
    case = await ask(client, town, queue, due_after=240 * HOUR)
    await case.step("process")
    await case.settled()
    await case.forward(37 * HOUR)
    assert (await case.step("follow-up")).chased == 0
    case.world.changes(noted=1)
    await case.forward(12 * HOUR)
    assert reminded(case) == []
    assert [one.name for one in (await case.view()).steps] == ["process"]
    assert case.world.written is not None
    assert [one.name for one in case.world.written.steps] == ["process"]
    assert case.world.wrong == []


@pytest.mark.clause("ID-8")
@pytest.mark.usefixtures("at_work")
async def test_a_note_in_teamwork_ends_the_step_in_the_tables_too(client: Client, town: Town, queue: str) -> None:
    case = await ask(client, town, queue, due_after=240 * HOUR)
    await case.step("process")
    await case.settled()
    await case.forward(37 * HOUR)
    await case.step("follow-up")
    case.world.changes(noted=1)
    await case.tell(FactKind.TASK)

    async def only_one() -> bool:
        return bool(case.world.written and [one.name for one in case.world.written.steps] == ["process"])

    await eventually(only_one, "the CSS is still shown as asked", 5)


@pytest.mark.clause("ID-3")
@pytest.mark.usefixtures("at_work")
async def test_what_could_not_be_told_is_not_told_once_it_is_done(client: Client, town: Town, queue: str) -> None:
    case = await ask(client, town, queue, due_after=SOON * 60)
    case.world.vendors["post"] = "down"
    step = await case.step("process")
    await case.settled()
    await case.ends(step)
    await case.result()  # nobody waits for the post to work again
    assert case.world.sent("tell") == []
    await done(case)


@pytest.mark.clause("ID-3")
@pytest.mark.usefixtures("at_work")
async def test_a_board_that_refuses_to_be_read_is_a_persons_step_and_holds_nothing_up(
    client: Client, town: Town, queue: str
) -> None:
    case = await ask(client, town, queue)
    step = await case.step("process")
    await case.settled()
    case.world.vendors["board"] = "refuses"
    await case.tell(FactKind.TASK)
    await case.settled()
    await case.forward(2 * HOUR)
    assert (await case.step("could-not")).owner == "role:css"
    case.world.vendors.clear()
    await case.ends(step)
    assert (await case.result()).status == "done"
    await done(case)


@pytest.mark.clause("ID-4")
@pytest.mark.usefixtures("at_work")
async def test_whoever_is_not_on_the_board_is_somebodys_step_whenever_that_turns_out(
    client: Client, town: Town, queue: str
) -> None:
    case = await ask(client, town, queue, unsure=True)
    await case.step("process")
    await case.settled()
    assert not [one for one in (await case.view()).steps if one.name == "assign-by-hand"]
    case.world.unknown_to_board = ("cleo",)
    await case.ends(await case.step("estimate"))  # the due date follows, and the task is assigned anew
    step = await case.step("assign-by-hand")
    assert step.reference == "cleo"
    await case.ends(step)
    await case.settled()
    case.world.unknown_to_board = ("cleo", "sam")
    case.world.away.add("barb")
    await case.tell(FactKind.OWNERS)
    assert (await case.step("assign-by-hand")).reference == "sam"


@pytest.mark.clause("ID-3")
@pytest.mark.usefixtures("at_work")
async def test_nobody_is_told_that_a_step_is_theirs_now_which_was_done_in_silence(
    client: Client, town: Town, queue: str
) -> None:
    """The webhook was lost: the task is read where it is looked up whose the steps are."""
    case = await ask(client, town, queue, unknown_to_board=("cleo",))
    await case.step("assign-by-hand")
    await case.settled()
    case.world.changes(completed=True, completed_by="barb")
    case.world.away.add("barb")
    await case.tell(FactKind.OWNERS, "process assign-by-hand")
    assert (await case.result()).status == "done-in-teamwork"
    assert [one.key for one in case.world.nudges if one.passed_on] == []
    await done(case)


@pytest.mark.clause("ID-3")
@pytest.mark.usefixtures("at_work")
async def test_moved_by_a_person_the_reminder_waits_for_the_new_day(client: Client, town: Town, queue: str) -> None:
    case = await ask(client, town, queue)
    step = await case.step("process")
    await case.settled()
    await case.forward_to(step.deadline.due - MINUTE)
    await case.act("process", ActKind.MOVE.value, "barb", {}, due=(step.deadline.due + 24 * HOUR).isoformat())
    await case.settled()
    await case.forward(23 * HOUR)
    assert not [one for one in reminded(case) if one.startswith("process")]
    await case.forward(2 * HOUR)
    assert [one for one in reminded(case) if one.startswith("process")] == ["process 1"]
    assert case.world.wrong == []
