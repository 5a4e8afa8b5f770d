from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.chat import Channel, ChannelKind, Tried, Try
from domain.rules.channels import next_channel, slack_before_mail, whatsapp_form

SLACK = Channel(kind=ChannelKind.SLACK, address="U1")
PHONE = Channel(kind=ChannelKind.WHATSAPP, address="447700900001")
MAIL = Channel(kind=ChannelKind.EMAIL, address="barb@commversion.com")
ORDER = (SLACK, PHONE, MAIL)
NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


def tried(channel: Channel, ended: str) -> Try:
    return Try(channel=channel, ended=Tried(ended))


def test_the_first_channel_is_the_persons_own_first() -> None:
    assert next_channel((PHONE, MAIL, SLACK), ()).channel == PHONE


@pytest.mark.parametrize("ended", ["down", "refused"])
def test_a_channel_that_certainly_did_not_take_it_gives_way_to_the_next_in_order(ended: str) -> None:
    first = next_channel(ORDER, [tried(SLACK, ended)])
    second = next_channel(ORDER, [tried(SLACK, ended), tried(PHONE, ended)])
    assert (first.verdict, first.channel, second.channel) == ("try", PHONE, MAIL)


def test_a_message_that_may_have_arrived_is_not_sent_elsewhere() -> None:
    assert next_channel(ORDER, [tried(SLACK, "down"), tried(PHONE, "unclear")]).verdict == "unclear"


def test_what_is_sent_is_sent() -> None:
    assert next_channel(ORDER, [tried(SLACK, "refused"), tried(PHONE, "sent")]).verdict == "sent"


@pytest.mark.parametrize(
    ("ended", "verdict"),
    [
        (("down", "refused", "refused"), "down"),
        (("refused", "refused", "down"), "down"),
        (("refused", "refused", "refused"), "refused"),
    ],
)
def test_when_all_were_tried_it_is_worth_another_time_only_if_one_was_down(
    ended: tuple[str, ...], verdict: str
) -> None:
    all_tried = [tried(channel, how) for channel, how in zip(ORDER, ended, strict=True)]
    assert next_channel(ORDER, all_tried).verdict == verdict


def test_nobody_without_a_channel_is_reached() -> None:
    assert next_channel((), ()).verdict == "refused"


CHANNELS = st.lists(st.sampled_from(ORDER), unique=True)


@given(CHANNELS, st.lists(st.builds(tried, st.sampled_from(ORDER), st.sampled_from(["down", "refused"]))))
def test_trying_on_ends_and_never_tries_one_twice(channels: list[Channel], before: list[Try]) -> None:
    used = list(before)
    while (step := next_channel(channels, used)).channel is not None:
        assert step.channel not in [one.channel for one in used]
        used.append(tried(step.channel, "down"))
    assert all(channel in [one.channel for one in used] for channel in channels)


@pytest.mark.parametrize(
    ("ago", "form"),
    [
        (timedelta(0), "text"),
        (timedelta(hours=23, minutes=54, seconds=59), "text"),
        (timedelta(hours=23, minutes=55), "template"),
        (timedelta(hours=24), "template"),
        (timedelta(days=9), "template"),
        (timedelta(minutes=-5), "text"),
        (timedelta(minutes=-6), "template"),
        (None, "template"),
    ],
)
def test_free_text_goes_only_within_a_day_of_the_persons_last_message(ago: timedelta | None, form: str) -> None:
    assert whatsapp_form(None if ago is None else NOW - ago, NOW) == form


@pytest.mark.parametrize(
    ("order", "user"),
    [
        ((SLACK, MAIL), "U1"),
        ((PHONE, SLACK, MAIL), "U1"),
        ((SLACK,), "U1"),
        ((MAIL, SLACK), ""),
        ((PHONE, MAIL), ""),
        ((PHONE,), ""),
        ((), ""),
    ],
)
def test_who_puts_slack_before_mail_is_asked_there(order: tuple[Channel, ...], user: str) -> None:
    assert slack_before_mail(order) == user
