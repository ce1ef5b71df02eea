"""The data sets that are made here, not downloaded: their contract, and the table of all.

Adding one begins here. `recipe.data.generated` has the settings that a recipe's data set is made
from (None: it is not made here), and `GENERATED` the set; nothing else knows a set by its name.
"""

from pathlib import Path
from typing import Any, Protocol

from stsm_cli.config.schema import DataConfig
from stsm_cli.data.order import ORDER
from stsm_cli.data.rendered_set import Settings
from stsm_cli.data.scenes import SCENES
from stsm_cli.data.synth import SYNTH
from stsm_cli.progress import SILENT, Progress


class GeneratedSet(Protocol[Settings]):
    """A data set that follows from its settings, the same everywhere.

    Its settings are the section of a recipe that has the set's name. `RenderedSet` is one to fill
    in, of videos that are drawn one by one.
    """

    @property
    def label(self) -> str:
        """Its name in messages, tables and figures, behind `the`."""

    @property
    def settings(self) -> type[Settings]:
        """Its section; the defaults are the set that `stsm prepare` makes."""

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of its classes, in label order."""

    def identify(self) -> str:
        """The identity of its videos, beside the settings: name and version of the generator.

        It is part of what a run is known by, and the settings are, too: they are in the recipe.
        """

    def extent(self, settings: Settings) -> str:
        """In words, how much there is to make."""

    def is_at(self, root: Path) -> bool:
        """Tell whether `root` was begun as this set, whatever its settings."""

    def check(self, root: Path, settings: Settings) -> bool:
        """Tell whether the set lies whole at `root`; if not, it can be made there.

        Raises:
            DataError: `root` holds something else: other files, the set of other settings, or of
                another version.
        """

    def make(
        self,
        root: Path,
        settings: Settings,
        *,
        workers: int | None = None,
        progress: Progress = SILENT,
    ) -> dict[str, Any]:
        """Make what is missing of the set; a `root` that was interrupted is continued.

        Each file is whole or absent, and the manifest comes last.

        Returns:
            A report with at least `videos` (their number, by split), `made`, `seconds`, `bytes`.

        Raises:
            DataError: As `check`; or `root` cannot be written.
        """

    def demo(self, folder: Path, settings: Settings) -> list[Path]:
        """Draw a few videos that no training sees into `folder`, each named by its class.

        Raises:
            DataError: `folder` cannot be written.
        """

    def preview(self, path: Path, settings: Settings) -> None:
        """Draw a video of every class into the picture `path`.

        Raises:
            DataError: `path` cannot be written.
        """


GENERATED: dict[str, GeneratedSet[Any]] = {
    "synth": SYNTH,
    "scenes": SCENES,
    "order": ORDER,
}
"""Every `GeneratedName` of the schema."""


def make_where_absent(config: DataConfig, root: Path, *, progress: Progress = SILENT) -> None:
    """Make, or complete, the recipe's data set at `root`, if it is one that is made here.

    Raises:
        DataError: `root` holds something else, or cannot be written.
    """
    settings = config.generated
    if settings is None:
        return
    made = GENERATED[config.dataset]
    if not made.check(root, settings):
        progress.message(f"{root}: making the {made.label} here, {made.extent(settings)}")
        made.make(root, settings, progress=progress)
