"""Asking people what is theirs to do: on Slack those who put it before e-mail, everybody else by e-mail."""

from collections.abc import Mapping
from datetime import UTC, datetime

from pydantic import JsonValue

from activities.hands_made import Seen, Sent
from activities.ports import Mailer, Slack
from activities.tell import ENDED, HOW_FAR_BACK
from domain.chat import Channel, ChannelKind, ChatPosted, Tried, Try
from domain.errors import Unclear, VendorError
from domain.mail import OutgoingMail
from domain.rules.channels import slack_before_mail
from domain.texts import digest


class NudgeHand:
    """Whoever Slack does not certainly reach is mailed in the same moment: asked twice is better than not at all.

    A message on Slack is looked for before it is posted, so that doing this again asks nobody there again.
    """

    def __init__(
        self, mailer: Mailer, slack: Slack, mail: OutgoingMail, ways: Mapping[str, tuple[Channel, ...]], marker: str
    ) -> None:
        self.mailer, self.slack, self.mail, self.marker = mailer, slack, mail, marker
        asked = {email: slack_before_mail(ways.get(email, ())) for email in mail.to}
        self.users = {email: user for email, user in asked.items() if user}
        self.by_slack_alone = bool(self.users) and set(self.users) == set(mail.to)
        self.resend = self.by_slack_alone
        self.body_sha256 = digest(mail.model_dump_json())
        self.recipients = (*mail.to, *mail.cc, *(("vendor:slack",) if self.users else ()))

    async def do(self) -> Sent:
        tried = {email: await self._ask(user) for email, user in self.users.items()}
        reached = {email for email, one in tried.items() if one.ended is Tried.SENT}
        left = tuple(email for email in self.mail.to if email not in reached)
        data = {"tried": _on_record(tried)} if tried else {}
        if not left:
            return Sent(next(f"slack:{one.reference}" for one in tried.values()), data)
        await self.mailer.send(self.mail.model_copy(update={"to": left}))
        return Sent(self.mail.message_id, data, message_id=self.mail.message_id)

    async def look(self) -> Seen:
        """What went by mail can't be read back."""
        if not self.by_slack_alone:
            return "cannot-tell"
        found = [await self._found(user) for user in self.users.values()]
        seen = [one.ts for one in found if one is not None]
        return Sent(f"slack:{seen[0]}") if len(seen) == len(found) else "missing"

    async def _ask(self, user: str) -> Try:
        way = Channel(kind=ChannelKind.SLACK, address=user)
        try:
            posted = await self._found(user) or await self._post(user)
        except VendorError as error:
            return Try(channel=way, ended=ENDED[type(error)], code=error.code)
        return Try(channel=way, ended=Tried.SENT, reference=posted.ts)

    async def _post(self, user: str) -> ChatPosted:
        try:
            return await self.slack.post(user, f"{self.mail.subject}\n\n{self.mail.text}", self.marker)
        except Unclear:
            if (posted := await self._found(user)) is None:
                raise
            return posted

    async def _found(self, user: str) -> ChatPosted | None:
        return await self.slack.find(user, self.marker, datetime.now(UTC) - HOW_FAR_BACK)


def _on_record(tried: Mapping[str, Try]) -> list[JsonValue]:
    """How Slack took it, without an address; whoever it did not reach was mailed."""
    return [{"channel": one.channel.kind.value, "ended": one.ended.value, "code": one.code} for one in tried.values()]
