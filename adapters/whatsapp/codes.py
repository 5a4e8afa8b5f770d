"""What Meta's error numbers mean, in words: numbers are what Meta asks to decide by, not texts or HTTP statuses."""

from collections.abc import Mapping

_TRY_LATER = {
    2: "service_down",
    4: "too_many_calls",
    80007: "account_rate_limit",
    130429: "rate_limit",
    131016: "service_unavailable",
    131048: "spam_rate_limit",
    131056: "pair_rate_limit",
    131057: "maintenance",
    131064: "messaging_limit",
}
_NEVER = {
    3: "not_permitted",
    10: "not_permitted",
    33: "no_sender",
    100: "invalid_parameter",
    368: "blocked_for_policy",
    130472: "experiment",
    130497: "country_restricted",
    131005: "not_permitted",
    131008: "parameter_missing",
    131009: "parameter_invalid",
    131021: "own_number",
    131026: "undeliverable",
    131030: "not_in_allowed_list",
    131031: "account_locked",
    131037: "name_not_approved",
    131042: "payment",
    131045: "certificate",
    131047: "window_closed",
    131049: "withheld",
    131050: "stopped_by_person",
    131051: "unsupported_type",
    132000: "template_parameters",
    132001: "no_template",
    132005: "template_too_long",
    132007: "template_policy",
    132008: "template_parameters",
    132012: "template_parameters",
    132015: "template_paused",
    132016: "template_disabled",
    132018: "template_parameters",
    133010: "not_registered",
    135000: "refused",
}
_UNAUTHORISED = {0: "unauthorised", 190: "unauthorised"}
_UNSURE = {1: "unknown_trouble", 131000: "something_wrong"}
_WORDS: Mapping[int, str] = _TRY_LATER | _NEVER | _UNAUTHORISED | _UNSURE
_PERMISSIONS = range(200, 300)


def word(number: object) -> str:
    """The word for an error number, `error_<number>` for one that is not known here, "" if it is no number."""
    if not isinstance(number, int) or isinstance(number, bool) or number < 0:
        return ""
    return "not_permitted" if number in _PERMISSIONS else _WORDS.get(number, f"error_{number}")


def code(number: object) -> str:
    """The same word as the code of a typed error."""
    return word(number).replace("_", "-")


def worth_another_time(number: object) -> bool:
    return number in _TRY_LATER or number in _UNSURE


def _codes(words: Mapping[int, str]) -> frozenset[str]:
    return frozenset(one.replace("_", "-") for one in words.values())


TRY_LATER = _codes(_TRY_LATER)
NEVER = _codes(_NEVER)
