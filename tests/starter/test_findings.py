import json

import pytest

from domain.errors import Refused
from domain.messages import ActKind
from starter.findings import parse_findings_csv, parse_findings_json
from starter.results import read_result

CSV = b'lead_id,verdict,reason,text\nL-1001,valid,spam,A robot.\nL-1002,not-valid,other,"They asked, and got it."\n'


def test_a_table_is_one_finding_a_row() -> None:
    found = parse_findings_csv(CSV)
    assert [one["lead_id"] for one in found] == ["L-1001", "L-1002"]
    assert found[1]["text"] == "They asked, and got it."


def test_a_spreadsheets_own_habits_are_read() -> None:
    windows = b"\xef\xbb\xbf" + CSV.replace(b"\n", b"\r\n").replace(b"lead_id", b" Lead_ID ") + b"\r\n,,,\r\n"
    assert parse_findings_csv(windows) == parse_findings_csv(CSV)


def test_formulas_are_text() -> None:
    formula = '=HYPERLINK("https://evil.example","click")'
    row = f'L-1001,valid,spam,"{formula.replace(chr(34), chr(34) * 2)}"'
    (one,) = parse_findings_csv(f"lead_id,verdict,reason,text\n{row}\n".encode())
    assert one["text"] == formula
    assert read_result(ActKind.FINDINGS, {"findings": [one]}).texts == (formula,)


def test_evidence_is_a_list() -> None:
    table = f"lead_id,verdict,reason,text,evidence\nL-1001,valid,spam,x,{'a' * 64} {'b' * 64}\nL-1002,valid,spam,x,\n"
    assert [one["evidence"] for one in parse_findings_csv(table.encode())] == [["a" * 64, "b" * 64], []]


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "unreadable-csv"),
        (b"L-1001,valid,spam,x\n", "unreadable-csv"),
        (b"lead_id,verdict,reason\nL-1001,valid,spam\n", "unreadable-csv"),
        (b"lead_id,verdict,reason,text,admin\n", "unreadable-csv"),
        (b"lead_id,verdict,reason,text,text\n", "unreadable-csv"),
        (b"lead_id,verdict,reason,text\nL-1001,valid,spam\n", "unreadable-csv"),
        (b'lead_id,verdict,reason,text\nL-1001,valid,spam,"x\n', "unreadable-csv"),
        (b"lead_id,verdict,reason,text\n\xff\xfe\n", "not-utf-8"),
        (b"x" * 1_000_001, "too-large"),
    ],
)
def test_a_table_that_can_not_be_read_is_refused(content: bytes, code: str) -> None:
    with pytest.raises(Refused) as caught:
        parse_findings_csv(content)
    assert caught.value.code == code


def test_a_line_that_can_not_be_read_is_named() -> None:
    with pytest.raises(Refused, match="Line 3"):
        parse_findings_csv(CSV.splitlines(keepends=True)[0] + b"L-1,valid,spam,x\nL-2,valid\n")


def test_json_is_a_list_or_an_object_with_one() -> None:
    plain = [{"lead_id": "L-1001"}]
    assert parse_findings_json(json.dumps(plain).encode()) == plain
    assert parse_findings_json(json.dumps({"findings": plain}).encode()) == plain


@pytest.mark.parametrize(
    "content",
    [b"", b"x", b"1", b"null", b"{}", b"[1]", b'{"findings": {}}', b'[{"a": 1, "a": 2}]', b"[" * 100_000, b"[NaN,1]"],
)
def test_json_that_is_none_is_refused(content: bytes) -> None:
    with pytest.raises(Refused) as caught:
        parse_findings_json(content)
    assert caught.value.code == "unreadable-json"
