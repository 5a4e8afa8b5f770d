"""`holdfast demo department-request`: a department is asked, and followed up until it is done (ID-1 to ID-12).

Like the other demo: servers of its own, ended again; time passes on the real Temporal server's own clock, for one case.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from datetime import timedelta
from email import message_from_bytes, policy
from typing import Any, cast

import httpx2
from temporalio.client import Client

from adapters.postgres import policy as sending
from adapters.postgres.pool import transaction
from domain.chat import Tried
from domain.errors import HoldfastError
from domain.messages import ActKind
from runtime.settings import Settings
from starter.cli.cases import print_deadlines, print_timeline
from starter.cli.world import Office, office
from starter.client import every_step
from starter.demo.stage import (
    OTHER_CLOCK,
    SAMPLES,
    STEP_WITHIN,
    bring_in,
    command,
    fast_forward,
    headline,
    quote,
    say,
    show_audit,
    signed,
    until,
    waits_for,
)

BARB, ROSA = 304, 314  # users of the task board: PPC's contact, and its manager
PAUSE: dict[str, Any] = {
    "reference": "demo-1",
    "department": "ppc",
    "client_id": "brightsmile",
    "ticket_id": "8001",
    "title": "Pause the ads that lead to the booking form",
    "details": "Its button does nothing (ticket 8001).\nPlease let the other ads run on.",
    "unsure": True,
}
HOURS: dict[str, Any] = {
    "reference": "demo-2",
    "department": "google-local",
    "client_id": "brightsmile",
    "title": "Put the new opening hours on Google",
    "details": "From Monday on: 8:00 to 18:00, Saturdays 9:00 to 13:00.",
}
_LOG = "see .holdfast/demo/logs/worker-sops.log"
_TAKEN, _REFUSED = 200, 401
NOTE = "Barb has paused two of the three campaigns; the third follows tomorrow."


class Outside:
    """The vendors' stand-ins: what stands in them, and what people do there."""

    def __init__(self, settings: Settings) -> None:
        self._urls = {
            "teamwork": settings.teamwork_url,
            "tickets": settings.tickets_url,
            "slack": settings.slack_url,
        }

    async def state(self, vendor: str) -> dict[str, Any]:
        async with httpx2.AsyncClient() as http:
            return (await http.get(f"{self._urls[vendor]}/_sim/state")).json()

    async def switch(self, vendor: str, what: str, said: Mapping[str, Any]) -> None:
        async with httpx2.AsyncClient() as http:
            (await http.post(f"{self._urls[vendor]}/_sim/{what}", json=said)).raise_for_status()

    async def hooks(self, vendor: str) -> list[dict[str, Any]]:
        """Every webhook that the vendor sent, and how it was answered."""
        async with httpx2.AsyncClient() as http:
            return (await http.get(f"{self._urls[vendor]}/_sim/hooks")).json()["sent"]

    async def task(self, title: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """A task by its title, and the comments on it; ({}, []) while it is not there."""
        board = await self.state("teamwork")
        nothing: dict[str, Any] = {}
        task = next((one for one in board["tasks"].values() if one["name"] == title), nothing)
        return task, [one for one in board["comments"].values() if task and one["taskId"] == task["id"]]

    async def names(self) -> dict[int, str]:
        people = (await self.state("teamwork"))["people"].values()
        return {int(one["id"]): f"{one['firstName']} {one['lastName']}".strip() for one in people}


async def prepare(here: Office, outside: Outside) -> None:
    """People, clients, the directory and how people are reached; what the board, the tickets and Slack know."""
    await bring_in(here, "departments", "people", "clients", "directory", "pairs", "channels", "boards")
    for vendor in ("teamwork", "tickets", "slack"):
        await outside.switch(vendor, "seed", json.loads((SAMPLES / f"{vendor}.json").read_text()))
    async with transaction(here.pool) as conn:
        await sending.set_outbound(conn, here.vault, "on", (), "demo")


async def asked(here: Office, request: Mapping[str, Any]) -> str:
    """Opens a request by the door that the command line uses, and returns its case."""
    options = [
        f"--client {request['client_id']}",
        *([f"--ticket {request['ticket_id']}"] if "ticket_id" in request else []),
    ]
    unsure = " --unsure" if request.get("unsure") else ""
    command(
        f'request open {request["department"]} {" ".join(options)} --title "{request["title"]}" --details "..."{unsure}'
    )
    started = await here.client().start("department-requests", dict(request))
    say(f"  opened {started.case_id}")
    await until(lambda: told(here, started.case_id), f"{started.case_id} told nobody: {_LOG}")
    await waits_for(here, started.case_id, "process")
    return started.case_id


async def told(here: Office, case_id: str) -> bool:
    """The last of the moment: the task, the comment, then the message."""
    query = "SELECT true FROM effects WHERE case_id = $1 AND kind = 'tell' AND state = 'sent'"
    async with transaction(here.pool, reading=True) as conn:
        return bool(await conn.fetchval(query, case_id))


async def show_task(outside: Outside, title: str, since: int = 0) -> None:
    """The task with everybody on it, and what is said on it; without the first `since` comments."""
    (task, comments), names = await outside.task(title), await outside.names()
    on_it = ", ".join(sorted(names[int(one)] for one in task["assignees"]))
    say(
        f"  Teamwork, task {task['id']}: {task['name']}\n    due {task['dueAt']}; assigned to {on_it}; {task['status']}"
    )
    for one in comments[since:]:
        say(f"    {names[int(one['postedBy'])]} comments:")
        quote(one["body"])


async def show_ticket(outside: Outside, ticket_id: str) -> None:
    desk = await outside.state("tickets")
    users, ticket = desk["users"], desk["tickets"][ticket_id]
    followers = ", ".join(sorted(users[str(one)]["name"] for one in ticket["follower_ids"]))
    say(f"  Ticket {ticket_id}: {ticket['subject']}\n    followed by {followers}")
    for note in desk["comments"].values():
        if str(note["ticket_id"]) == ticket_id and not note["public"]:
            say("    internal note:")
            quote(note["body"])


async def show_slack(outside: Outside) -> None:
    for room, channel in (await outside.state("slack"))["channels"].items():
        for message in channel["messages"]:
            named = channel.get("name")
            say(f"  Slack, {f'#{named}' if named else f'direct message {room}'}:")
            quote(message["text"])


async def estimated(here: Office, outside: Outside, case_id: str) -> None:
    """The manager answers where she was asked, in a comment; Teamwork's webhook is all that tells us."""
    await waits_for(here, case_id, "estimate")
    task, _ = await outside.task(PAUSE["title"])
    before = str(task["dueAt"])
    await outside.switch("teamwork", "edit", {"op": "comment", "by": ROSA, "task": task["id"], "body": "3 days"})
    say('  Rosa Webb comments on the task in Teamwork: "3 days".')
    await heard(here, outside, "COMMENT.CREATED", case_id)

    async def moved() -> bool:
        return (await outside.task(PAUSE["title"]))[0]["dueAt"] != before

    await until(moved, f"{case_id} did not take the estimate: {_LOG}")
    after = (await outside.task(PAUSE["title"]))[0]["dueAt"]
    say(f"  The case read the comment: the task was due {before}, and is due {after} now.")
    await waits_for(here, case_id, "process")


async def heard(here: Office, outside: Outside, event: str, case_id: str) -> None:
    """The last webhook of this kind was sent, believed by its signature, kept and handed to the case."""
    got: list[str] = []

    async def arrived() -> bool:
        sent = [one for one in await outside.hooks("teamwork") if one["event"] == event and one["status"] == _TAKEN]
        query = "SELECT true FROM inbox WHERE provider = 'teamwork' AND event_id = $1 AND case_id = $2"
        async with transaction(here.pool, reading=True) as conn:
            got[:] = [one["delivery"] for one in sent if await conn.fetchval(query, one["delivery"], case_id)]
        return bool(got)

    await until(arrived, f"Teamwork's webhook {event} did not reach {case_id}: see .holdfast/demo/logs/web.log")
    say(f"    Its webhook {event} came, signed: kept as {got[-1]}, and the case was told.")


async def forged(here: Office, outside: Outside, case_id: str) -> None:
    """What Teamwork did not sign is not believed."""
    task, _ = await outside.task(PAUSE["title"])
    headers = {"x-projects-event": "TASK.COMPLETED", "x-projects-delivery": "forged", "x-projects-signature": "0" * 64}
    async with httpx2.AsyncClient() as http:
        url = f"{here.settings.web_url}/webhooks/teamwork"
        answer = await http.post(url, json={"task": {"id": task["id"]}}, headers=headers)
    if answer.status_code != _REFUSED or (await here.client().case(case_id)).row.status != "open":
        raise HoldfastError(f"a forged webhook was answered {answer.status_code}")
    say(f"    answered {answer.status_code} ({answer.json()['code']}); the case goes on waiting")


async def followed_up(here: Office, client: Client, outside: Outside, case_id: str) -> None:
    """The CSS's note, on the task and on the ticket."""
    await fast_forward(client, case_id, timedelta(hours=36, minutes=1))
    await waits_for(here, case_id, "follow-up")
    command(f'step complete {case_id} follow-up --done --note "{NOTE}" --as lena')
    await signed(here, case_id, "follow-up", ActKind.DONE, {"note": NOTE}, "lena")

    async def noted() -> bool:
        said = [one["body"] for one in (await outside.state("tickets"))["comments"].values()]
        return any(NOTE in one for one in said)

    async def over() -> bool:
        return all(one.step.step_id != "follow-up" for one in await every_step(here.client(), case_id=case_id))

    await until(noted, f"{case_id} did not note the follow-up: {_LOG}")
    await until(over, f"{case_id} still asks for the follow-up: {_LOG}")
    await show_task(outside, str(PAUSE["title"]))
    await show_ticket(outside, str(PAUSE["ticket_id"]))


async def while_slack_is_down(here: Office, outside: Outside) -> str:
    """Who can't be reached by the first channel is reached by the next; both are on record."""
    down = {"op": "fail", "method": "chat.postMessage", "error": "service_unavailable", "times": 1, "done": False}
    await outside.switch("slack", "edit", down)
    case_id = await asked(here, HOURS)
    names = await here.client().names()
    for one in await tried(here, case_id):
        say(f"    {names.get(one['person'], one['person'])} by {one['channel']}: {_WORDS[Tried(str(one['ended']))]}")
    await show_mail(here.settings, str(HOURS["title"]))
    command(f"step complete {case_id} process --done --as elmer")
    await signed(here, case_id, "process", ActKind.PROCESSED, {"note": ""}, "elmer")
    client = await here.temporal()
    outcome = await asyncio.wait_for(client.get_workflow_handle(case_id).result(), STEP_WITHIN)
    say(f"  closed: {outcome['status']}, says {names.get(outcome['by'], outcome['by'])}")
    await show_task(outside, str(HOURS["title"]))
    return case_id


_WORDS = {
    Tried.SENT: "sent",
    Tried.DOWN: "down, so the next channel is tried",
    Tried.REFUSED: "refused, so the next channel is tried",
    Tried.UNCLEAR: "may have arrived",
}


async def tried(here: Office, case_id: str) -> Sequence[Mapping[str, Any]]:
    """Which channels were tried, in this order, as the ledger has it."""
    query = "SELECT data FROM effects WHERE case_id = $1 AND kind = 'tell'"
    async with transaction(here.pool, reading=True) as conn:
        data = await conn.fetchval(query, case_id)
    return cast("dict[str, list[dict[str, Any]]]", data)["tried"]


async def show_mail(settings: Settings, subject: str) -> None:
    """The mail of this subject, as the mail server wrote it down."""
    for path in sorted((settings.state_dir / "mail" / "accepted").glob("*.eml")):
        mail = message_from_bytes(path.read_bytes(), policy=policy.default)
        if subject in str(mail["Subject"]):
            say(f"\n  {mail['Subject']}\n    {mail['From']} -> {mail['To']}")
            say("\n".join(f"    | {line}" for line in mail.get_content().strip().splitlines()) + "\n")


async def done(here: Office, client: Client, outside: Outside, case_id: str) -> None:
    """The department completes the task where it works, and that ends the case: nobody's clock is moved."""
    say("  Somebody posts that the task is completed, without Teamwork's signature:")
    await forged(here, outside, case_id)
    task, _ = await outside.task(str(PAUSE["title"]))
    await outside.switch("teamwork", "edit", {"op": "complete", "by": BARB, "task": task["id"]})
    say("\n  Barb completes the task in Teamwork.")
    await heard(here, outside, "TASK.COMPLETED", case_id)
    outcome = await asyncio.wait_for(client.get_workflow_handle(case_id).result(), STEP_WITHIN)
    names = await here.client().names()
    by = names.get(outcome["by"], outcome["by"])
    say(f"  The case read the task. Closed: completed in Teamwork by {by}; nobody is reminded any more.")


async def walk(settings: Settings) -> None:
    outside = Outside(settings)
    async with office(settings) as here:
        headline("2. The agency: people, departments and their contacts, who is reached how")
        await prepare(here, outside)
        headline("3. A client's ticket needs a department (ID-3 to ID-7, ID-9, ID-10)")
        case_id = await asked(here, PAUSE)
        say(f"  http://127.0.0.1:{settings.temporal_ui_port} shows it while this runs")
        await show_task(outside, str(PAUSE["title"]))
        await show_ticket(outside, str(PAUSE["ticket_id"]))
        await show_slack(outside)
        client = await here.temporal()
        headline("4. Nobody knew how long it takes: the manager says so on the task (ID-5)")
        await estimated(here, outside, case_id)
        headline("5. A day and a half passes on the real server's clock; the CSS follows up with a note (ID-8)")
        await followed_up(here, client, outside, case_id)
        headline("6. Another request, and Slack says that it is down: the contact's next channel is used (ID-11)")
        await while_slack_is_down(here, outside)
        headline("7. Where the first one stands: every deadline explained")
        print_deadlines(await here.client().clocks(case_id), await here.client().names())
        headline("8. The department does it (ID-3)")
        await done(here, client, outside, case_id)
        headline("9. What happened in the first case, by clause")
        say(OTHER_CLOCK)
        print_timeline(await here.client().timeline(case_id), await here.client().names(), moved=True)
        headline("10. The audit trail")
        await show_audit(here)
