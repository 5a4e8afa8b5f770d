from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from activities.hands_made import Sent
from activities.nudge import NudgeHand
from adapters.mail.smtp import SmtpMailer
from adapters.slack.workspace import SlackWorkspace
from domain.chat import Channel, ChannelKind
from domain.errors import Retryable
from domain.mail import OutgoingMail
from simulators.mail import MailServer, mail_server
from simulators.slack import SlackSimulator, slack_simulator
from simulators.slack_rules import shown

BARB, ADA, TEAM = "barb@commversion.com", "ada@commversion.com", "returnleads@commversion.com"
LINK = "http://127.0.0.1:8700/cases/return-lead/1/steps/approve?a=1&b=2"
MAIL = OutgoingMail(
    message_id="<nudge-1@commversion.com>",
    sender=TEAM,
    to=(BARB, ADA),
    subject="Approve the return [RL#1]",
    text=f"Please decide: {LINK}\n<!channel>\n",
)
POST, FIND = "POST /api/chat.postMessage", "GET /api/conversations.history"


def by(*kinds: str, user: str = "U0BARB") -> tuple[Channel, ...]:
    return tuple(Channel(kind=ChannelKind(kind), address=user if kind == "slack" else "x") for kind in kinds)


@dataclass
class Office:
    slack: SlackSimulator
    mail: MailServer
    workspace: SlackWorkspace
    mailer: SmtpMailer

    def hand(self, **ways: tuple[Channel, ...]) -> NudgeHand:
        known = {f"{name}@commversion.com": channels for name, channels in ways.items()}
        return NudgeHand(self.mailer, self.workspace, MAIL, known, "case/nudge/1")

    def mailed(self) -> list[tuple[str, ...]]:
        return [tuple(one.recipients) for one in self.mail.ledger()]


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[Office]:
    async with slack_simulator() as slack, mail_server(tmp_path) as mail:
        slack.seed(users=[{"id": "U0BARB", "email": BARB}, {"id": "U0ADA", "email": ADA}])
        workspace = SlackWorkspace(slack.url, slack.token, timeout=timedelta(milliseconds=400))
        yield Office(slack, mail, workspace, SmtpMailer(mail.host, mail.smtp_port, tls="none"))
        await workspace.aclose()


async def test_whoever_puts_slack_first_is_asked_there_and_the_others_by_mail(office: Office) -> None:
    sent = await office.hand(barb=by("slack", "email")).do()
    (message,) = office.slack.messages("U0BARB")
    seen = shown(message["text"])
    assert (seen.text, seen.mentions) == (f"{MAIL.subject}\n\n{MAIL.text}", ())
    assert seen.links == ((LINK, LINK),)
    assert office.mailed() == [(ADA,)]
    assert (sent.message_id, sent.data) == (
        MAIL.message_id,
        {"tried": [{"channel": "slack", "ended": "sent", "code": ""}]},
    )


async def test_nobody_is_mailed_when_slack_reaches_them_all(office: Office) -> None:
    sent = await office.hand(barb=by("slack"), ada=by("slack", user="U0ADA")).do()
    assert (office.mailed(), sent.message_id) == ([], "")
    assert sent.reference == f"slack:{office.slack.messages('U0BARB')[0]['ts']}"


@pytest.mark.parametrize("ways", [(), ("email", "slack"), ("whatsapp", "email"), ("whatsapp",)])
async def test_who_does_not_put_slack_before_mail_is_mailed_as_ever(office: Office, ways: tuple[str, ...]) -> None:
    sent = await office.hand(barb=by(*ways)).do()
    assert (office.mailed(), office.slack.ledger) == ([(BARB, ADA)], [])
    assert (sent.reference, sent.data) == (MAIL.message_id, {})


@pytest.mark.parametrize(
    ("mode", "ended", "code"),
    [("429", "down", "ratelimited"), ("error_before", "unclear", "internal-error"), ("reset", "unclear", "cut-off")],
)
async def test_whom_slack_does_not_certainly_reach_is_mailed_and_both_are_on_record(
    office: Office, mode: str, ended: str, code: str
) -> None:
    office.slack.fault(POST, mode, times=None)
    sent = await office.hand(barb=by("slack", "email")).do()
    assert office.mailed() == [(BARB, ADA)]
    assert sent.data == {"tried": [{"channel": "slack", "ended": ended, "code": code}]}


async def test_somebody_who_left_slack_is_mailed(office: Office) -> None:
    office.slack.edit(op="deactivate", user="U0BARB")
    sent = await office.hand(barb=by("slack", "email")).do()
    assert office.mailed() == [(BARB, ADA)]
    assert sent.data == {"tried": [{"channel": "slack", "ended": "refused", "code": "user-disabled"}]}


async def test_a_post_whose_answer_was_lost_is_found_and_not_mailed_too(office: Office) -> None:
    office.slack.fault(POST, "reset_after")
    await office.hand(barb=by("slack"), ada=by("slack", user="U0ADA")).do()
    assert (len(office.slack.messages("U0BARB")), office.mailed()) == (1, [])


async def test_asking_again_after_the_mail_server_was_away_posts_nothing_twice(office: Office) -> None:
    away = NudgeHand(
        SmtpMailer("127.0.0.1", 9, tls="none"), office.workspace, MAIL, {BARB: by("slack")}, "case/nudge/1"
    )
    with pytest.raises(Retryable):
        await away.do()
    await office.hand(barb=by("slack")).do()
    assert (len(office.slack.messages("U0BARB")), office.mailed()) == (1, [(ADA,)])


async def test_after_a_crash_slack_is_read_back_and_mail_is_not(office: Office) -> None:
    both = office.hand(barb=by("slack"), ada=by("slack", user="U0ADA"))
    assert await both.look() == "missing"
    await both.do()
    assert isinstance(await both.look(), Sent)
    assert await office.hand(barb=by("slack")).look() == "cannot-tell"


def test_outbound_knows_of_slack_only_when_it_is_used(office: Office) -> None:
    assert office.hand().recipients == (BARB, ADA)
    assert office.hand(barb=by("slack")).recipients == (BARB, ADA, "vendor:slack")
