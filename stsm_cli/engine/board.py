"""TensorBoard, for those who ask for it: what `metrics.jsonl` holds, and curves inside an epoch."""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

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


class Board:
    """Scalars for TensorBoard.

    Args:
        folder: Where event files go; None: nothing is written.
        first_step: Of a resumed run; what a killed one wrote from there on is hidden.
    """

    def __init__(self, folder: Path | None, first_step: int) -> None:
        self._writer: Any = None
        if folder is not None:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(folder), purge_step=first_step)

    def step(self, step: int, values: Mapping[str, float]) -> None:
        """Note the values of an optimiser step; every `EVERY_STEPS`th is kept."""
        if step % EVERY_STEPS == 0:
            self._add("step", values, step)

    def epoch(self, step: int, metrics: Mapping[str, float | None]) -> None:
        """Note the metrics of an epoch whose last optimiser step is `step`."""
        numbers = {key: value for key, value in metrics.items() if value is not None}
        self._add("epoch", numbers, step)

    def _add(self, group: str, values: Mapping[str, float], step: int) -> None:
        if self._writer is not None:
            for key, value in values.items():
                self._writer.add_scalar(f"{group}/{key}", value, step)

    def close(self) -> None:
        """Write what is still in memory."""
        if self._writer is not None:
            self._writer.close()
