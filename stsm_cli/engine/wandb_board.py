"""Weights & Biases, for those who ask for it: the scalars that TensorBoard gets, in a project.

A run is never held up: one without a connection keeps its curves in its folder.
"""

import secrets
import sys
from importlib.util import find_spec
from typing import Any, Literal

from stsm_cli.atomic import write_file
from stsm_cli.config.schema import Recipe
from stsm_cli.engine.runlog import RunFolder
from stsm_cli.errors import DivergedError, UsageError
from stsm_cli.progress import Progress

Mode = Literal["offline"] | None
"""None: that of the user's settings."""
INIT_SECONDS = 30.0  # ours: to find the server; then curves stay in the run folder
FINISH_SECONDS = 120.0  # ours: to send what is left


def require_wandb() -> None:
    """Make sure that `WandbWriter` can write, without a question at the keyboard.

    Raises:
        UsageError: The package is not installed, or knows no account and is not offline.
    """
    if find_spec("wandb") is None:
        raise UsageError(
            "--wandb: the package wandb is not installed", hint="pip install 'stsm[wandb]'"
        )
    import wandb

    if wandb.setup(wandb.Settings(silent=True)).settings.mode == "online" and not wandb.login(
        prompt=False, verify=False
    ):
        raise UsageError(
            "--wandb: no account of Weights & Biases is known here",
            hint="`wandb login`; or with WANDB_MODE=offline curves stay in the run folder",
        )


class WandbWriter:
    """Scalars for Weights & Biases, taken as TensorBoard's writer takes them.

    A run that is resumed goes on in the same curves; what a killed one sent already, and is trained
    again, is the same and sent once.

    Args:
        project: Its name there.
        folder: The run's; the id there is kept in it.
        recipe: Shown beside the curves.
        progress: Told where they are.

    Raises:
        UsageError: Weights & Biases refuses the project's name.
    """

    def __init__(self, project: str, folder: RunFolder, recipe: Recipe, progress: Progress) -> None:
        import wandb

        try:
            self._run = _begin(project, folder, recipe)
        except (wandb.errors.CommError, TimeoutError) as error:
            progress.message(f"warning: --wandb: {_first_line(error)}: goes on offline")
            wandb.teardown()  # what failed still holds the run's id
            self._run = _begin(project, folder, recipe, mode="offline")
        except (wandb.errors.Error, ValueError) as error:
            raise UsageError(f"--wandb {project}: {_first_line(error)}") from None
        kept = f"offline in {folder.wandb}, for `wandb sync`"
        progress.message(f"Weights & Biases: {kept if self._run.offline else self._run.url}")

    def add_scalar(self, tag: str, value: float, step: int) -> None:
        """Note a value of an optimiser step."""
        self._run.log({tag: value}, step=step)

    def close(self) -> None:
        """Send what is still here, for `FINISH_SECONDS` at most; where it diverged, it failed."""
        self._run.finish(exit_code=int(isinstance(sys.exc_info()[1], DivergedError)))


def _begin(project: str, folder: RunFolder, recipe: Recipe, mode: Mode = None) -> Any:  # noqa: ANN401
    import wandb

    settings = wandb.Settings(
        silent=True, console="off", init_timeout=INIT_SECONDS, finish_timeout=FINISH_SECONDS
    )
    return wandb.init(
        project=project,
        dir=folder.path,
        name=folder.name,
        id=_id(folder),
        resume="allow",
        config=recipe.model_dump(mode="json"),
        settings=settings,
        mode=mode,
    )


def _first_line(error: Exception) -> str:
    return str(error).split("\n")[0]


def _id(folder: RunFolder) -> str:
    """The run's id there, made at its first start."""
    file = folder.wandb / "id.txt"
    if not file.is_file():
        write_file(file, secrets.token_hex(8).encode())
    return file.read_text()
