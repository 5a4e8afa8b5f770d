import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.errors import Refused
from domain.mail import IncomingMail, lead_ids_in, readable, says_looped_in
from starter.mime.message import LARGEST, parse

FIXTURES = Path(__file__).parent.parent / "mail_fixtures"
OURS = "mail.holdfast.local"
STAFF = frozenset({"commversion.com"})
SAMPLES = sorted(path.name for path in FIXTURES.glob("*.eml"))


def sample(name: str) -> bytes:
    return (FIXTURES / f"{name}.eml").read_bytes()


def read(raw: bytes) -> IncomingMail:
    return parse(raw, authserv_id=OURS, staff_domains=STAFF)


def plain(results: str = "", sender: str = "jane@acme.example", body: str = "L-1001") -> bytes:
    top = f"Authentication-Results: {results}\r\n" if results else ""
    return f"{top}From: {sender}\r\nTo: returnleads@commversion.com\r\nSubject: s\r\n\r\n{body}\r\n".encode()


def refused(raw: bytes) -> str:
    with pytest.raises(Refused) as caught:
        read(raw)
    assert len(str(caught.value)) > 20
    return caught.value.code


@pytest.mark.clause("RL-1")
def test_a_clients_own_mail_is_read_whole() -> None:
    mail = read(sample("direct"))
    assert (mail.sender, mail.message_id, mail.authenticated) == ("jane@acme.example", "<direct-1@acme.example>", True)
    assert mail.to == ("returnleads@commversion.com",)
    assert mail.cc == ("am@commversion.com", "bob@acme.example")
    assert mail.subject == "Leads we can\u2019t use"
    assert mail.sent_at == datetime(2026, 11, 2, 9, 15, tzinfo=UTC)
    assert mail.references == ("<older@acme.example>",)
    assert "café" in mail.new_text
    assert "L-9999" in mail.text
    assert "L-9999" not in mail.new_text
    assert not mail.is_forward
    assert not mail.automatic
    assert mail.original
    assert (mail.original.how, mail.original.sender) == ("direct", "jane@acme.example")


def test_lead_ids_come_from_table_and_text_and_what_is_none_is_reported() -> None:
    mail = read(sample("direct"))
    assert mail.lead_ids == ("L-1005", "L-1005", "L-1001", "L-1002", "L-1003", "L-1004")
    assert mail.problems == (
        "attachment 1: row 4: a formula, not a lead id",
        "attachment 1: row 5: not a lead id",
        "attachment 1: row 6: no lead id",
    )
    assert [each.name for each in mail.attachments] == ["leads.csv"]


def test_an_outlook_forward_gives_the_clients_message_its_recipients_and_moment() -> None:
    mail = read(sample("forward_outlook"))
    original = mail.original
    assert mail.is_forward
    assert original
    assert (original.how, original.sender, original.subject) == ("quoted", "jane@acme.example", "Bad leads")
    assert original.to == ("john@commversion.com", "returnleads@commversion.com")
    assert original.cc == ("bob@acme.example", "carol@acme.example")
    assert original.sent_at
    assert original.sent_at.utcoffset() == timedelta(hours=1)
    assert original.sent_at.hour == 9
    assert original.message_id == ""
    assert mail.lead_ids == ("L-2001", "L-2002")


@pytest.mark.parametrize(
    ("name", "to", "cc"),
    [
        ("forward_gmail", ("sales@commversion.com", "am@commversion.com"), ("bob@acme.example",)),
        ("forward_apple", ("sales@commversion.com",), ()),
    ],
)
def test_gmail_and_apple_forwards_are_read(name: str, to: tuple[str, ...], cc: tuple[str, ...]) -> None:
    mail = read(sample(name))
    assert mail.is_forward
    assert mail.original
    assert (mail.original.how, mail.original.to, mail.original.cc) == ("quoted", to, cc)
    assert mail.original.sent_at
    assert mail.lead_ids == ("L-2001",)


def test_an_attached_message_is_the_original_with_its_thread_and_table() -> None:
    mail = read(sample("forward_attached"))
    assert mail.is_forward
    original = mail.original
    assert original
    assert (original.how, original.message_id) == ("attached", "<client-1@acme.example>")
    assert original.to == ("sales@commversion.com", "am@commversion.com")
    assert original.cc == ("bob@acme.example",)
    assert original.references == ("<client-0@acme.example>",)
    assert "café" in original.text
    assert mail.lead_ids == ("L-2002", "L-2003", "L-2001")


def test_a_forward_of_a_forward_still_holds_the_client() -> None:
    original = read(sample("forward_nested")).original
    assert original
    assert (original.sender, original.message_id) == ("jane@acme.example", "<client-1@acme.example>")


@pytest.mark.parametrize(
    "name",
    ["forward_unreadable", "forward_unauthenticated", "forward_two_attached", "reply_with_us_in_copy"],
)
def test_what_cannot_be_read_for_certain_is_never_guessed(name: str) -> None:
    mail = read(sample(name))
    assert mail.is_forward
    assert mail.original is None


def test_a_clients_mail_with_history_is_his_own_whatever_it_quotes() -> None:
    raw = sample("forward_outlook").replace(
        b"john@commversion.com>\r\nTo: returnleads", b"mallory@evil.example>\r\nTo: returnleads"
    )
    mail = read(raw)
    assert mail.original
    assert (mail.original.how, mail.original.sender) == ("direct", "mallory@evil.example")
    assert not mail.authenticated


def test_a_bounce_names_our_message() -> None:
    mail = read(sample("bounce"))
    assert (mail.bounce_of, mail.automatic, mail.original) == ("<case-17@commversion.com>", True, None)


def test_a_delay_is_no_bounce() -> None:
    mail = read(sample("bounce_delayed"))
    assert (mail.bounce_of, mail.automatic) == ("", True)


@pytest.mark.parametrize(
    ("line", "automatic"),
    [
        ("Auto-Submitted: auto-replied", True),
        ("Auto-Submitted: no", False),
        ("Auto-Submitted: (a comment) no; x=y", False),
        ("Precedence: Bulk", True),
        ("List-Id: <x.example>", True),
        ("Return-Path: <>", True),
        ("Return-Path: <jane@acme.example>", False),
    ],
)
def test_machines_are_recognised(line: str, *, automatic: bool) -> None:
    assert read(line.encode() + b"\r\n" + plain()).automatic is automatic


@pytest.mark.parametrize(
    ("results", "passed"),
    [
        (f"{OURS}; dmarc=pass header.from=acme.example", True),
        (f"{OURS} 1; spf=pass; dmarc=pass (p=none) header.from=Acme.Example; dkim=fail", True),
        (f"{OURS}; dmarc=fail header.from=acme.example", False),
        (f"{OURS}; dmarc=pass header.from=evil.example", False),
        (f"{OURS}; dmarc=pass header.from=mail.acme.example", False),
        (f"{OURS}; dmarc=pass", False),
        (f"{OURS}; none", False),
        ("mx.other.example; dmarc=pass header.from=acme.example", False),
        (f"{OURS}.evil.example; dmarc=pass header.from=acme.example", False),
        (f"mx.other.example ({OURS}); dmarc=pass header.from=acme.example", False),
        (f'{OURS}; dkim=fail reason="x; dmarc=pass header.from=acme.example"', False),
        (f"{OURS}; dkim=fail (x; dmarc=pass header.from=acme.example)", False),
        (f"{OURS}; dmarc=fail header.from=acme.example; dmarc=pass header.from=acme.example", False),
        (f"{OURS}; dmarc=pass header.from=acme.example; dmarc=fail header.from=acme.example", False),
        (f"{OURS}; dmarc=passed header.from=acme.example", False),
        (f"{OURS}; dmarc=fail (x; dmarc=pass header.from=acme.example", False),
        ("", False),
    ],
)
def test_only_our_own_servers_word_authenticates(results: str, *, passed: bool) -> None:
    assert read(plain(results)).authenticated is passed


def test_a_forged_result_below_ours_counts_for_nothing() -> None:
    assert not read(sample("forged_results")).authenticated


def test_a_display_name_is_not_a_sender() -> None:
    mail = read(sample("spoofed_name"))
    assert (mail.sender, mail.authenticated) == ("mallory@evil.example", True)


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"", "not-an-email"),
        (b"hello, this is no e-mail", "not-an-email"),
        (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "not-an-email"),
        (b"Subject: x\r\n\r\nL-1001", "no-sender"),
        (sample("two_from"), "several-senders"),
        (sample("two_addresses"), "several-senders"),
        (plain(sender="Team: a@x.example;"), "several-senders"),
        (plain(sender="undisclosed"), "bad-sender"),
        (plain(sender="<>"), "bad-sender"),
        (plain(sender="ceo@commversion.com <mallory@evil.example>"), "bad-sender"),
        (plain(body="L-1001\0"), "nul-bytes"),
        (b"x" * (LARGEST + 1), "too-large"),
        (plain(body="--x\r\n" * 6_000), "too-many-parts"),
        (b"X: " + b"a" * 300_000 + b"\r\n" + plain(), "headers-too-large"),
        (b"To: " + b"a@b," * 20_000 + b"\r\n" + plain(), "headers-too-large"),
        (plain().replace(b"Subject: s", b"Content-Type: text/plain" + b";" * 100_000), "headers-too-large"),
    ],
)
def test_bad_input_is_refused_with_a_reason(raw: bytes, code: str) -> None:
    assert refused(raw) == code


def test_no_header_or_text_carries_controls_or_broken_characters() -> None:
    mail = read(sample("header_injection"))
    assert "\n" not in mail.subject
    assert "\0" not in mail.subject
    assert mail.in_reply_to == ""
    assert mail.lead_ids == ("L-1001",)
    assert mail.text.endswith("é")


def test_a_sentence_said_in_a_wrapped_quote_is_found() -> None:
    assert read(sample("forward_apple")).says_looped_in
    assert read(sample("reply_with_us_in_copy")).says_looped_in
    assert not read(sample("forward_gmail")).says_looped_in
    assert not says_looped_in("I have looped in the concerned team.")


def test_japanese_mail_is_read() -> None:
    mail = read(sample("iso_2022_jp"))
    assert (mail.subject, mail.lead_ids) == ("返付", ("L-1001",))
    assert "返品" in mail.text


def test_html_alone_is_read_as_a_person_would() -> None:
    mail = read(sample("html_only"))
    assert mail.lead_ids == ("L-1001", "L-1002", "L-1003")
    assert "Please return these:" in mail.text
    assert "© Jane" in mail.new_text
    assert "L-9999" not in mail.new_text
    assert "L-666" not in mail.text


def test_broken_mime_gives_what_can_be_read() -> None:
    assert read(sample("broken_mime")).lead_ids == ("L-1001",)


def test_a_lead_id_is_one_word() -> None:
    assert lead_ids_in("(L-1001), lead-12345678901 abcdL-1002 L-1003-4 a@L-1004 ABCDE-123 l\u20131005. CN-77777") == (
        "L-1001",
        "L-1005",
    )


def test_readable_text_is_composed_and_whole() -> None:
    assert readable("e\u0301\r\nx\ry\0\ud800z") == "é\nx\ny\ufffdz"


def csv_mail(content: bytes, name: str = "leads.csv") -> bytes:
    head = b'From: jane@acme.example\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\n'
    part = f'Content-Type: application/octet-stream\r\nContent-Disposition: attachment; filename="{name}"\r\n\r\n'
    return head + part.encode() + content + b"\r\n--b--\r\n"


@pytest.mark.parametrize(
    ("content", "ids", "problem"),
    [
        (b"id,x\nL-1001,1\n'L-1002,2", ("L-1001", "L-1002"), ""),
        (b"Lead_ID\tx\nl-1001\t1", ("L-1001",), ""),
        (b'"lead";"a,b,c,d"\n"L-1001";2', ("L-1001",), ""),
        (b"id,lead id\n7,L-1001", ("L-1001",), ""),
        (b"name\nL-1001", (), 'no column named "lead id"'),
        (b"lead\n@SUM(1)\n+1\n-5\n1e9", (), "a formula"),
        (b"lead\n" + b"L-1001\n" * 5_001, (), "more than 5,000 rows"),
        (b"lead\n" + b"x" * 1_100_000, (), "larger than 1024 KB"),
        (b'lead\n"' + b"x" * 200_000, (), "can't be read"),
        (b"\n\n", (), "empty"),
    ],
)
def test_tables(content: bytes, ids: tuple[str, ...], problem: str) -> None:
    mail = read(csv_mail(content))
    assert mail.lead_ids == ids
    assert (problem in mail.problems[0]) if problem else not mail.problems


def test_a_spreadsheet_is_named_as_unread() -> None:
    assert "send it as CSV" in read(csv_mail(b"PK", "leads.xlsx")).problems[0]


def test_problems_are_bounded() -> None:
    mail = read(csv_mail(b"lead\n" + b"x\n" * 3_000))
    assert len(mail.problems) == 51
    assert mail.problems[-1] == "and 2950 more"


def strings_of(mail: IncomingMail) -> list[str]:
    return [mail.model_dump_json(exclude={"attachments"}), *(each.name for each in mail.attachments)]


def is_total(raw: bytes) -> None:
    try:
        mail = read(raw)
    except Refused:
        return
    for each in strings_of(mail):
        each.encode()
        assert "\0" not in each
        assert "\\u0000" not in each


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=2_000))
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    is_total(raw)
    is_total(b"From: a@b.example\r\nTo: " + raw)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from(SAMPLES), st.lists(st.tuples(st.floats(0, 1), st.binary(max_size=6), st.integers(0, 8)), max_size=8)
)
def test_any_mutation_of_a_real_mail_is_read_or_refused(name: str, edits: list[tuple[float, bytes, int]]) -> None:
    raw = (FIXTURES / name).read_bytes()
    for where, put, cut in edits:
        at = int(where * len(raw))
        raw = raw[:at] + put + raw[at + cut :]
    is_total(raw)


_TRAPS = {
    "many parts": b"From: a@b.example\nContent-Type: multipart/mixed; boundary=x\n\n" + b"--x\n\n" * 800_000,
    "deep": b"From: a@b.example\n"
    + b"".join(b"Content-Type: multipart/mixed; boundary=x%d\n\n--x%d\n" % (n, n) for n in range(2_000)),
    "nested messages": b"From: a@b.example\n" + b"Content-Type: message/rfc822\n\n" * 2_000,
    "newlines": b"From: a@b.example\n\n" + b"\n" * 9_000_000,
    "quotes": b"From: a@b.example\n\n" + b"> " * 4_000_000,
    "from lines": b"From: a@b.example\n\n" + b"From: x\n" * 1_000_000,
    "on lines": b"From: a@b.example\n\n" + b"On " * 3_000_000,
    "on colons": b"From: a@b.example\n\n" + b"On a wrote :\n" * 700_000,
    "comments": b"From: a@b.example\nTo: " + b"(" * 30_000 + b"\n\nx",
    "recipients": b"From: a@b.example\nTo: " + b"a@b.example," * 2_500 + b"\n\nx",
    "encoded words": b"From: a@b.example\nSubject: " + b"=?utf-8?q?x?= " * 2_300 + b"\n\nx",
    "results": b"Authentication-Results: " + b"(" * 30_000 + b"\nFrom: a@b.example\n\nx",
    "html": b"From: a@b.example\nContent-Type: text/html\n\n" + b"<div><blockquote>" * 500_000,
    "html comments": b"From: a@b.example\nContent-Type: text/html\n\n" + b"<!--" * 2_000_000,
    "ids": b"From: a@b.example\n\n" + b"L-1001 " * 1_400_000,
    "dashes": b"From: a@b.example\n\n" + b"-" * 9_000_000,
    "part field": b"From: a@b.example\nContent-Type: multipart/mixed; boundary=x\n\n--x\nContent-Type: a/b"
    + b';"' * 4_000_000,
}


@pytest.mark.parametrize("trap", _TRAPS)
def test_no_ten_megabytes_take_long(trap: str) -> None:
    started = time.process_time()
    is_total(_TRAPS[trap])
    assert time.process_time() - started < 8
