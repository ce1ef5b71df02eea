"""The finding on a video that was examined."""

from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "missing", "corrupt", "short"]


@dataclass(frozen=True)
class Check:
    """A video as it was found, or, where it was re-encoded or its flow computed, what was made.

    Attributes:
        status: `ok`: every frame decodes; `short`: the file ends before the time it claims;
            `corrupt`: it does not decode, or not all of it; `missing`: there is no such file.
        reason: Why it is not `ok`.
        num_frames: Frames that decode, in display order; or fields of flow.
        fps: Frames a second, the average; 0 where the file does not say.
        width: In pixels, as the readers give them.
        height: In pixels.
        made_bytes: Size of the file that was made; 0 where none was.
        lasting: Whether the same file would be found the same again: not so where memory ran out,
            or the file could not be read, or not in time.
        from_start: Whether seeks in it lead to other frames than decoding from its start does.
        note: What FFmpeg complained of first, although no frame is lost or damaged.
        motion: The curve of `data/motion.py`, as bytes, where it was asked for; not in the ledger.
    """

    status: Status
    reason: str = ""
    num_frames: int = 0
    fps: float = 0.0
    width: int = 0
    height: int = 0
    made_bytes: int = 0
    lasting: bool = True
    from_start: bool = False
    note: str = ""
    motion: bytes = b""


MISSING = Check("missing", "no such file")


class UnusableError(Exception):
    """Ends the work on a video, which cannot be used; carries the `Check` that says why."""

    def __init__(self, status: Status, reason: str, *, lasting: bool = True) -> None:
        super().__init__(reason)
        self.check = Check(status, reason, lasting=lasting)
