"""Workflows of the runtime tests, with the imports that the sandbox knows and no others."""

from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from pydantic import BaseModel, ConfigDict
from temporalio import workflow

from domain.money import Money


class Colour(StrEnum):
    RED = "red"


class Payload(BaseModel):
    model_config = ConfigDict(frozen=True)
    amount: Decimal
    wait: timedelta
    at: datetime
    colour: Colour
    money: Money


class Word(BaseModel):
    number: int


@workflow.defn
class Echo:
    def __init__(self) -> None:
        self.seen: Payload | None = None

    @workflow.run
    async def run(self, given: Payload) -> Payload:
        self.seen = given
        return given.model_copy(update={"amount": given.amount + 1})

    @workflow.query
    def view(self) -> Payload | None:
        return self.seen


@workflow.defn
class Listens:
    def __init__(self) -> None:
        self.heard: list[int] = []

    @workflow.run
    async def run(self) -> int:
        workflow.logger.info("waiting for %s", "a word", extra={"clause": "RL-0"})
        await workflow.wait_condition(lambda: bool(self.heard))
        return self.heard[0]

    @workflow.signal
    def say(self, word: Word) -> None:
        self.heard.append(word.number)


@workflow.defn
class WaitsTwoDays:
    @workflow.run
    async def run(self) -> str:
        await workflow.sleep(timedelta(hours=48), summary="RL-0 a wait")
        return "chased"
