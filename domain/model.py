"""What every payload is made of."""

from pydantic import BaseModel, ConfigDict


class Model(BaseModel):
    """A payload: frozen, tolerant of unknown fields (strict is the door's business)."""

    model_config = ConfigDict(frozen=True)
