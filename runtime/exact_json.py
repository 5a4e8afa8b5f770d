"""JSON whose numbers stay decimal: no amount passes through a float on its way to or from a vendor."""

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, NoReturn, cast

_LONGEST_EXPONENT = 30


def loads(text: bytes | str) -> Any:
    """Parses JSON with every fraction as Decimal. Raises ValueError on bad JSON, NaN, Infinity and bad UTF-8."""
    try:
        return json.loads(text, parse_float=Decimal, parse_constant=_refuse)
    except RecursionError as error:
        raise ValueError("JSON nested too deeply") from error


def dumps(value: object) -> bytes:
    """Writes JSON with Decimals as plain numbers, digit by digit.

    Raises ValueError on a float, on a number that is not finite, and on text that is not valid Unicode.
    """
    return _text(value).encode()


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _text(value: object) -> str:
    if value is None or isinstance(value, bool | int | str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, Decimal):
        return _number(value)
    if isinstance(value, Mapping):
        pairs = cast("Mapping[str, object]", value).items()
        return "{" + ", ".join(f"{_text(str(name))}: {_text(item)}" for name, item in pairs) + "}"
    if isinstance(value, Sequence):
        return "[" + ", ".join(_text(item) for item in cast("Sequence[object]", value)) + "]"
    raise ValueError(f"{type(value).__name__} has no exact form in JSON")


def _number(value: Decimal) -> str:
    exponent = value.as_tuple().exponent
    if not isinstance(exponent, int) or abs(exponent) > _LONGEST_EXPONENT:
        raise ValueError("a number out of range")
    return format(value, "f")
