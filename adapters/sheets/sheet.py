"""The RL tracking sheet in Google Sheets: implements `activities.ports.Sheet`."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from adapters.http import TIMEOUT, TokenSource, VendorClient
from domain.errors import Permanent

VENDOR = "Google Sheets"

_TRIGGERS = ("=", "+", "-", "@")
_CONTROLS = ("\t", "\r", "\n")
_GUARD = "'"


class _Values(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)
    values: list[list[str]] = Field(default_factory=list[list[str]])


class _Updates(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)
    updated_range: str = Field(alias="updatedRange", min_length=1)
    updated_rows: int = Field(alias="updatedRows")


class _Appended(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)
    updates: _Updates


class GoogleSheet:
    """One tab of one spreadsheet, column A holding our key."""

    def __init__(
        self,
        base_url: str,
        sheet_id: str,
        token: str | TokenSource,
        *,
        tab: str = "RL",
        timeout: timedelta = TIMEOUT,
    ) -> None:
        place = quote(f"'{tab.replace(_GUARD, _GUARD * 2)}'!A:Z", safe="")
        self._path = f"/v4/spreadsheets/{quote(sheet_id, safe='')}/values/{place}"
        self._client = VendorClient(
            VENDOR, base_url, token, timeout=timeout, code_of=lambda body: body["error"]["status"]
        )

    async def aclose(self) -> None:
        await self._client.aclose()

    async def find(self, key: str) -> tuple[str, ...] | None:
        """The row that was appended with this first cell, or None. Empty cells at its end do not come back."""
        wanted = escaped(key)
        params = {"majorDimension": "ROWS", "valueRenderOption": "FORMATTED_VALUE"}
        answer = await self._client.json("reads", "GET", self._path, params=params)
        try:
            rows = _Values.model_validate(answer).values
        except ValidationError:
            self._client.bad_answer("reads")
        row = next((row for row in rows if row and row[0] == wanted), None)
        return None if row is None else tuple(unescaped(cell) for cell in row)

    async def append(self, row: Sequence[str]) -> str:
        """Appends one row, taken as text; returns the range it went to."""
        if not row or not row[0]:
            raise Permanent(VENDOR, "no-key", "a row starts with its key")
        answer = await self._client.json(
            "writes",
            "POST",
            f"{self._path}:append",
            params={"valueInputOption": "RAW", "insertDataOption": "INSERT_ROWS"},
            body={"majorDimension": "ROWS", "values": [[escaped(cell) for cell in row]]},
        )
        return self._went_to(answer)

    def _went_to(self, answer: Any) -> str:
        try:
            updates = _Appended.model_validate(answer).updates
        except ValidationError:
            self._client.bad_answer("writes")
        if updates.updated_rows != 1:
            self._client.bad_answer("writes")
        return updates.updated_range


def escaped(cell: str) -> str:
    """The cell with an apostrophe before anything that a spreadsheet, or an export of it, could take for a formula.

    A cell that begins with an apostrophe gets one more, so that `unescaped` undoes it exactly.
    """
    risky = cell.lstrip().startswith(_TRIGGERS) or cell.startswith((*_CONTROLS, _GUARD))
    return _GUARD + cell if risky else cell


def unescaped(cell: str) -> str:
    return cell.removeprefix(_GUARD)
