"""What Meta itself insists on: the shape of a message, its templates, its errors and how its webhooks look."""

import json
import re
from typing import Any, cast

from simulators.base import Answer, Call

WINDOW_CLOSED, UNDELIVERABLE = 131047, 131026

_ERRORS = {
    10: (403, "Permission denied"),
    100: (400, "Invalid parameter"),
    190: (401, "Access token has expired"),
    130429: (429, "Rate limit hit"),
    131000: (500, "Something went wrong"),
    131008: (400, "Required parameter is missing"),
    131009: (400, "Parameter value is not valid"),
    131016: (503, "Service unavailable"),
    131026: (400, "Message undeliverable"),
    131047: (400, "Re-engagement message"),
    132000: (400, "Number of parameters does not match the expected number of params"),
    132001: (404, "Template name does not exist in the translation"),
    132015: (400, "Template is paused"),
    132018: (400, "There is an issue with the parameters in your template"),
}
_LONGEST_TEXT = 4096
_LONGEST_TRACKER = 512
_SENT = {"messaging_product", "recipient_type", "to", "type", "text", "template", "biz_opaque_callback_data"}


class MetaError(Exception):
    """Meta's own refusal, by its number."""

    def __init__(self, number: int, details: str = "", *, status: int = 0, subcode: int = 0) -> None:
        super().__init__(number)
        self.number, self.details, self.subcode = number, details, subcode
        usual, self.title = _ERRORS.get(number, (400, "An error occurred"))
        self.status = status or usual

    def answer(self) -> Answer:
        error: dict[str, Any] = {
            "message": f"(#{self.number}) {self.title}",
            "type": "OAuthException",
            "code": self.number,
            "error_data": {"messaging_product": "whatsapp", "details": self.details or self.title},
            "fbtrace_id": "Az8or2yhqkZfEZ",
        }
        if self.subcode:
            error["error_subcode"] = self.subcode
        return Answer(self.status, {"error": error})


def checked(call: Call) -> dict[str, Any]:
    """The message of a call. Raises MetaError if Meta would not take its shape."""
    message = call.fields
    if not message or message.get("messaging_product") != "whatsapp":
        raise MetaError(100, "The parameter messaging_product is required.")
    if set(message) - _SENT:
        raise MetaError(100, "Unexpected key in the message")
    if not isinstance(message.get("to"), str) or not re.fullmatch(r"\+?[0-9]{6,15}", message["to"]):
        raise MetaError(131009, "The parameter to is not a phone number")
    if message.get("recipient_type", "individual") != "individual" or not _is_tracker(message):
        raise MetaError(100, "Invalid parameter")
    kind = message.get("type")
    if kind not in {"text", "template"} or not isinstance(message.get(kind), dict):
        raise MetaError(131008, "The message has no content of its type")
    if kind == "text":
        _check_text(message["text"])
    return {**message, "to": message["to"].lstrip("+")}


def _is_tracker(message: dict[str, Any]) -> bool:
    tracker = message.get("biz_opaque_callback_data", "")
    return isinstance(tracker, str) and len(tracker) <= _LONGEST_TRACKER


def _check_text(text: dict[str, Any]) -> None:
    body = text.get("body")
    if not isinstance(body, str) or not body:
        raise MetaError(131008, "The parameter text['body'] is required.")
    if len(body) > _LONGEST_TEXT or set(text) - {"body", "preview_url"}:
        raise MetaError(100, "Param text['body'] must be at most 4096 characters long.")


def template_of(template: dict[str, Any]) -> str:
    return f"{template['name']}/{template['language']['code']}"


def filled(templates: dict[str, Any], template: dict[str, Any]) -> str:
    """A template as the person reads it. Raises MetaError if there is none, or not with these parameters."""
    name, language = template.get("name"), template.get("language")
    if not isinstance(name, str) or not isinstance(language, dict) or "code" not in language:
        raise MetaError(131008, "A template has a name and a language")
    key = template_of(template)
    if key not in templates:
        raise MetaError(132001, f"template name ({name}) does not exist in {cast('dict[str, Any]', language)['code']}")
    body = templates[key]
    if body is None:
        raise MetaError(132015)
    return _with_parameters(body, _parameters(template.get("components", [])))


def _parameters(components: Any) -> list[str]:
    bodies = cast("list[dict[str, Any]]", components if isinstance(components, list) else [{}])
    if any(one.get("type") != "body" for one in bodies):
        raise MetaError(100, "only body components are used here")
    given: list[dict[str, Any]] = [parameter for one in bodies for parameter in one.get("parameters", [])]
    texts = [str(one.get("text", "")) for one in given if one.get("type") == "text"]
    if len(texts) < len(given) or not all(texts):
        raise MetaError(131008, "Parameter of type text is missing text value")
    if any(re.search(r"[\n\t]| {5,}", text) for text in texts):
        raise MetaError(132018, "Param text cannot have new-line/tab characters or more than 4 consecutive spaces")
    return texts


def _with_parameters(body: str, parameters: list[str]) -> str:
    places = sorted({int(place) for place in re.findall(r"\{\{(\d+)\}\}", body)})
    if len(places) != len(parameters):
        raise MetaError(132000, f"number of localizable_params ({len(parameters)}) does not match ({len(places)})")
    return re.sub(r"\{\{(\d+)\}\}", lambda found: parameters[int(found[1]) - 1], body)


def notified(phone_id: str, value: dict[str, Any]) -> dict[str, Any]:
    """The wrapping of everything that Meta tells about our number."""
    metadata = {"display_phone_number": "15550783881", "phone_number_id": phone_id}
    change = {"value": {"messaging_product": "whatsapp", "metadata": metadata, **value}, "field": "messages"}
    return {"object": "whatsapp_business_account", "entry": [{"id": "102290129340398", "changes": [change]}]}


def inbound(wamid: str, number: str, at: int, text: str, answers: str) -> dict[str, Any]:
    message: dict[str, Any] = {"from": number, "id": wamid, "timestamp": str(at), "type": "text"}
    if answers:
        message["context"] = {"from": "15550783881", "id": answers}
    return {**message, "text": {"body": text}}


def status_of(message: dict[str, Any], state: str, at: int, code: int) -> dict[str, Any]:
    status: dict[str, Any] = {
        "id": message["wamid"],
        "status": state,
        "timestamp": str(at),
        "recipient_id": message["to"],
    }
    if message["marker"]:
        status["biz_opaque_callback_data"] = message["marker"]
    if code:
        title = MetaError(code).title
        status["errors"] = [{"code": code, "title": title, "message": title, "error_data": {"details": title}}]
    return status


def meta_json(body: object) -> bytes:
    """JSON as Meta writes and signs it: everything that is not ASCII, and slashes, escaped."""
    return json.dumps(body, separators=(",", ":")).replace("/", "\\/").encode()
