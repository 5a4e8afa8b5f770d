"""Evidence that people upload, read no further than it may be large; what it is, the gateway looks at."""

from dataclasses import dataclass
from pathlib import PurePath

from starlette.datastructures import UploadFile

from domain.errors import Refused
from starter.gateway import MOST_EVIDENCE_BYTES


@dataclass(frozen=True)
class Upload:
    name: str
    content: bytes


async def read_upload(file: UploadFile, most: int = MOST_EVIDENCE_BYTES) -> Upload:
    """An uploaded piece of evidence. Raises Refused `evidence-size`."""
    name = PurePath((file.filename or "file").replace("\\", "/")).name[:200] or "file"
    content = await file.read(most + 1)
    if not content or len(content) > most:
        raise Refused("evidence-size", f"{name}: a file has between 1 and {most:,} bytes.")
    return Upload(name, content)
