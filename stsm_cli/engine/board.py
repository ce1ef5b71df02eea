"""Curves for those who ask for them: what `metrics.jsonl` holds, and curves inside an epoch."""

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

from stsm_cli.errors import UsageError

EVERY_STEPS = 10  # ours: an epoch of Kinetics-400 still gives 500 points


def require_tensorboard() -> None:
    """Make sure that `Board` can write.

    Raises:
        UsageError: TensorBoard is not installed.
    """
    if find_spec("tensorboard") is None:
        raise UsageError(
            "--tensorboard: the package tensorboard is not installed",
            hint="pip install 'stsm[tensorboard]'",
        )


class Writer(Protocol):
    """A taker of scalars, as TensorBoard's `SummaryWriter` is one."""

    def add_scalar(self, tag: str, value: float, step: int, /) -> None:
        """Note a value of an optimiser step."""

    def close(self) -> None:
        """Write what is still in memory."""


class Board:
    """Scalars for TensorBoard, and for others.

    Args:
        folder: Where TensorBoard's event files go; None: there are none.
        first_step: Of a resumed run; what a killed one wrote from there on is hidden.
        others: Takers of the same.
    """

    def __init__(self, folder: Path | None, first_step: int, others: Sequence[Writer] = ()) -> None:
        self._writers = [*others]
        if folder is not None:
            from torch.utils.tensorboard import SummaryWriter

            self._writers.append(SummaryWriter(str(folder), purge_step=first_step))

    def step(self, step: int, values: Mapping[str, float]) -> None:
        """Note the values of an optimiser step; every `EVERY_STEPS`th is kept."""
        if step % EVERY_STEPS == 0:
            self._add("step", values, step)

    def epoch(self, step: int, metrics: Mapping[str, float | None]) -> None:
        """Note the metrics of an epoch whose last optimiser step is `step`."""
        numbers = {key: value for key, value in metrics.items() if value is not None}
        self._add("epoch", numbers, step)

    def _add(self, group: str, values: Mapping[str, float], step: int) -> None:
        for writer in self._writers:
            for key, value in values.items():
                writer.add_scalar(f"{group}/{key}", value, step)

    def close(self) -> None:
        """Write what is still in memory."""
        for writer in self._writers:
            writer.close()
