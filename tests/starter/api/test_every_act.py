"""Every act that a key may sign at all is made through the API, by keys of those whom each step asks."""

from datetime import timedelta
from typing import Any

from domain.department_request import Source
from domain.messages import Auth
from domain.rules.authority import ACT_RULES
from starter.client import case_path
from tests.starter.api.office import ApiOffice, Key, refused
from tests.workflows.desk import LIST, Desk, furnish

OPEN_TO_KEYS = {kind.value for kind, rule in ACT_RULES.items() if Auth.API_KEY in rule.auth}


class Acting:
    """Keeps which kinds were accepted."""

    def __init__(self) -> None:
        self.kinds: set[str] = set()

    async def __call__(self, key: Key, case_id: str, step_id: str, kind: str, **payload: Any) -> None:
        answer = await key.act(case_id, step_id, kind, **payload)
        assert (answer.status_code, answer.json().get("state")) == (200, "accepted"), answer.text
        self.kinds.add(kind)


async def a_task_of_nobodys(desk: Desk) -> str:
    desk.agency.outside.teamwork.edit(op="create", tasklistId=int(LIST), name="Broken form")
    task = str(desk.tasks()[0]["id"])
    return await desk.open(Source.SWEEP, reference=f"task-{task}", task_id=task, department="", title="")


async def test_every_kind_that_a_key_may_sign_is_made_over_http(api: ApiOffice) -> None:
    desk, acts = await furnish(api.agency), Acting()
    ppc, css, manager = await api.key("department:ppc"), await api.key("cleo"), await api.key("pete")
    case_id = await a_task_of_nobodys(desk)
    await api.agency.parked(case_id, "route")
    refused(await ppc.act(case_id, "route", "request.route", department="ppc"), 403, "not-asked")
    await acts(css, case_id, "route", "request.route", department="ppc")
    await api.agency.parked(case_id, "process")
    await acts(ppc, case_id, "process", "step.claim")
    await acts(ppc, case_id, "process", "step.release")
    await acts(ppc, case_id, "process", "step.reassign", to="pete")
    unsure = await desk.open(unsure=True)
    await api.agency.parked(unsure, "estimate")
    refused(await ppc.act(unsure, "estimate", "request.estimate", hours=1), 403, "not-asked")
    await acts(manager, unsure, "estimate", "request.estimate", hours=192)
    await desk.pass_time(unsure, timedelta(hours=48))
    await api.agency.parked(unsure, "follow-up")
    refused(await css.act(unsure, "follow-up", "step.done"), 422, "result-refused")
    await acts(css, unsure, "follow-up", "step.done", note="Asked Barb: it is half done.")
    await acts(ppc, unsure, "process", "request.done", note="It is paused.")
    assert (await desk.result(unsure)).status == "done"
    assert acts.kinds == OPEN_TO_KEYS
    lines = (await ppc.get(f"/cases/{case_path(unsure)}/timeline")).json()
    assert any(line["actor"].startswith("api-key:k-") for line in lines)


async def test_a_key_of_a_department_speaks_for_that_one_whatever_it_is_about(api: ApiOffice) -> None:
    desk = await furnish(api.agency)
    case_id = await desk.open(department="andy")
    await api.agency.parked(case_id, "process")
    refused(await (await api.key("department:ppc")).act(case_id, "process", "step.claim"), 403, "not-asked")
    andy = await api.key("department:andy")
    assert (await andy.act(case_id, "process", "step.claim")).status_code == 200
    assert (await andy.get("/whoami")).json()["acts_as"] == "department:andy"
    refused(await andy.act(case_id, "process", "step.waive", note="Nobody needs it any more."), 403, "auth-not-allowed")
