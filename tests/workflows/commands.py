"""The fingerprint of a recorded run: the commands a workflow gave, in order, as far as a replay depends on them."""

from collections.abc import Iterator, Mapping
from typing import Any


def commands(history: Mapping[str, Any]) -> list[str]:
    """One line a command: `activity perform @holdfast`, `timer 172800s`, `patch name`."""
    return list(_commands(history))


def _commands(history: Mapping[str, Any]) -> Iterator[str]:
    for event in history["events"]:
        match event["eventType"]:
            case "EVENT_TYPE_ACTIVITY_TASK_SCHEDULED":
                told = event["activityTaskScheduledEventAttributes"]
                money = " (money)" if told["taskQueue"]["name"].endswith("-money") else ""
                yield f"activity {told['activityType']['name']}{money}"
            case "EVENT_TYPE_TIMER_STARTED":
                yield "timer"
            case "EVENT_TYPE_MARKER_RECORDED":
                yield f"patch {event['markerRecordedEventAttributes']['markerName']}"
            case "EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW":
                yield "continue as new"
            case "EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED":
                yield "complete"
            case _:
                pass
