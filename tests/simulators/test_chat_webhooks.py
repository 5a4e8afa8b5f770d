"""What the stand-ins of Slack and WhatsApp send is what the readers of their webhooks take."""

from datetime import UTC, datetime, timedelta

import pytest

from adapters.slack.webhook import read_webhook as read_slack
from adapters.slack.workspace import SlackWorkspace
from adapters.whatsapp.cloud import WhatsAppCloud
from adapters.whatsapp.webhook import read_challenge
from adapters.whatsapp.webhook import read_webhook as read_whatsapp
from domain.chat import SlackChallenge, SlackEvent, WhatsAppBatch, WhatsAppStatus
from domain.rules.channels import whatsapp_form
from domain.webhooks import WebhookDoubt, WebhookRefusal
from simulators.slack import slack_simulator
from simulators.whatsapp import PHONE_ID, whatsapp_simulator
from tests.simulators.listening import Heard, listening

BARB = "447700900001"


def slack_said(heard: Heard) -> SlackEvent | SlackChallenge | WebhookRefusal:
    return read_slack(heard.headers, heard.body, ("shhh",), datetime.now(UTC))


def whatsapp_said(heard: Heard) -> WhatsAppBatch:
    batch = read_whatsapp(heard.headers, heard.body, ("shhh",), PHONE_ID)
    assert isinstance(batch, WhatsAppBatch)
    return batch


async def test_slack_a_persons_answer_our_own_post_and_the_challenge() -> None:
    async with listening() as listener, slack_simulator() as slack:
        slack.seed(users=[{"id": "U0BARB", "email": "barb@commversion.com"}])
        slack.tell(listener.url, "shhh")
        workspace = SlackWorkspace(slack.url, slack.token)
        await workspace.post("U0BARB", "please see https://tasks.example/1", "m-1")
        slack.edit(op="write", channel="U0BARB", user="U0BARB", text="done")
        slack.edit(op="verify")
        await slack.hooks.idle()
        await workspace.aclose()
        said = [slack_said(heard) for heard in listener.heard]
    (challenge,) = [one for one in said if isinstance(one, SlackChallenge)]
    ours, answer = [one for one in said if isinstance(one, SlackEvent)]
    assert (ours.from_bot, answer.from_bot, answer.direct, answer.text) == (True, False, True, b"done")
    assert (answer.user, answer.channel) == ("U0BARB", "D0BARB")
    assert challenge.challenge


async def test_slack_the_same_again_is_the_same_event_and_an_old_one_is_stale() -> None:
    async with listening() as listener, slack_simulator() as slack:
        slack.seed(users=[{"id": "U0BARB", "email": "barb@commversion.com"}])
        slack.tell(listener.url, "shhh")
        slack.hooks.set(repeat=3)
        slack.edit(op="write", channel="U0BARB", user="U0BARB", text="done")
        await slack.hooks.idle()
        same = {one.event_id for one in map(slack_said, listener.heard) if isinstance(one, SlackEvent)}
        slack.hooks.set(repeat=1, skew=-301.0)
        slack.edit(op="write", channel="U0BARB", user="U0BARB", text="later")
        await slack.hooks.idle()
        last = slack_said(listener.heard[-1])
    assert (len(listener.heard), len(same)) == (4, 1)
    assert last == WebhookRefusal(code=WebhookDoubt.STALE)


async def test_whatsapp_a_message_opens_the_window_and_our_answer_is_followed_to_its_end() -> None:
    async with listening() as listener, whatsapp_simulator() as whatsapp:
        whatsapp.tell(listener.url, "shhh")
        cloud = WhatsAppCloud(whatsapp.url, PHONE_ID, whatsapp.token)
        whatsapp.edit(op="write", number=BARB, text="any news?")
        await whatsapp.hooks.idle()
        (message,) = whatsapp_said(listener.heard[0]).events
        assert whatsapp_form(message.at, datetime.now(UTC)) == "text"
        wamid = await cloud.send_text(BARB, "yes", "case/tell/1")
        whatsapp.edit(op="fail", wamid=wamid, code=131026)
        await whatsapp.hooks.idle()
        await cloud.aclose()
        states = [event for heard in listener.heard[1:] for event in whatsapp_said(heard).events]
    assert [one.state for one in states if isinstance(one, WhatsAppStatus)] == ["sent", "delivered", "failed"]
    assert {(one.wamid, one.marker) for one in states if isinstance(one, WhatsAppStatus)} == {(wamid, "case/tell/1")}


async def test_whatsapp_a_sending_whose_answer_was_lost_is_known_by_its_marker() -> None:
    async with listening() as listener, whatsapp_simulator() as whatsapp:
        whatsapp.seed(numbers=[{"number": BARB, "wrote": 60}])
        whatsapp.tell(listener.url, "shhh")
        whatsapp.fault("POST /messages", "reset_after")
        cloud = WhatsAppCloud(whatsapp.url, PHONE_ID, whatsapp.token, timeout=timedelta(seconds=1))
        with pytest.raises(Exception, match="the connection broke"):
            await cloud.send_text(BARB, "hello", "case/tell/7")
        await whatsapp.hooks.idle()
        await cloud.aclose()
        told = [event for heard in listener.heard for event in whatsapp_said(heard).events]
    assert {one.marker for one in told if isinstance(one, WhatsAppStatus)} == {"case/tell/7"}


async def test_whatsapp_meta_makes_sure_of_our_address() -> None:
    async with listening() as listener, whatsapp_simulator() as whatsapp:
        whatsapp.tell(listener.url, "shhh")

        def says(heard: Heard) -> bytes:
            query = dict(pair.split("=") for pair in heard.target.partition("?")[2].split("&"))
            return read_challenge(query, "simulator").encode()

        listener.says = says
        whatsapp.edit(op="verify")
        await whatsapp.hooks.idle()
        whatsapp.edit(op="verify", token="stranger")
        await whatsapp.hooks.idle()
    assert [one["verified"] for one in whatsapp.hooks.sent] == [True, False]
