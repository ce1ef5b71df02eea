"""The job of `stsm train`: a recipe, its data set and a folder, begun or continued."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from stsm_cli.config.load import EDITS, LoadedRecipe, load_recipe
from stsm_cli.config.schema import Recipe
from stsm_cli.data.dataset import Splits, check_split, open_splits
from stsm_cli.data.decode import choose_decoder
from stsm_cli.engine.distributed import current_world, first_alone, gather_objects, together
from stsm_cli.engine.fitting import fit_recipe
from stsm_cli.engine.resuming import check_same
from stsm_cli.engine.runlog import (
    RunFolder,
    check_recordable,
    claim_run_folder,
    newest_run,
)
from stsm_cli.errors import UsageError
from stsm_cli.models.weights_kind import check_weights
from stsm_cli.printable import command_line
from stsm_cli.progress import Progress


@dataclass(frozen=True)
class Job:
    """A run to come.

    Attributes:
        name: The recipe's title.
        recipe: What is run.
        folder: Where; None: the next free folder below `runs/`, called after the recipe alone.
        data: The data set's folder; None: its default place.
        decoder: Which library decodes; None: the default.
        notes: What a user should know of the recipe, a line each.
    """

    name: str
    recipe: Recipe
    folder: RunFolder | None
    data: Path | None
    decoder: str | None
    notes: tuple[str, ...] = ()

    @property
    def _flow_fields(self) -> int:
        return self.recipe.model.view.flow_fields

    def check(self) -> None:
        """Refuse what can be told of the data before torch is imported, in the first process.

        Raises:
            UsageError: There is no such decoder here, or the set's folder is not called in UTF-8.
            DataError: The set is missing, its lists are damaged, or the recipe asks for another, or
                for other classes.
        """
        choose_decoder(self.decoder)
        check_recordable("--data", (self.data or self.recipe.data.place()).resolve())
        if current_world().is_main:
            for split in dict.fromkeys(("train", "val", self.recipe.test.split)):
                config = self.recipe.data
                manifest = check_split(config, self.data, split, flow_fields=self._flow_fields)
                if manifest is not None:
                    fit_recipe(self.recipe, manifest)

    def open(self, progress: Progress) -> Splits:
        """The splits that the recipe trains and is tested on.

        Raises:
            UsageError: There is no such decoder here.
            DataError: The set is missing, broken, or not the one the recipe asks for.
        """
        decoder = choose_decoder(self.decoder)
        processes = current_world().local_size
        return first_alone(
            lambda: open_splits(
                self.recipe.data,
                self.data,
                decoder=decoder,
                flow_fields=self._flow_fields,
                test_split=self.recipe.test.split,
                processes=processes,
                progress=progress,
            )
        )

    def claim(self) -> RunFolder:
        """The run's folder, the same in all processes; made if it is a new one below `runs/`.

        Raises:
            UsageError: It cannot be made.
        """
        if self.folder is not None:
            return self.folder
        path = None
        with together():
            if current_world().is_main:
                path = claim_run_folder(self.name.partition(EDITS)[0])
        chosen = gather_objects(path)[0]
        assert chosen is not None
        return RunFolder(chosen)


def new_job(loaded: LoadedRecipe, out: Path | None, data: Path | None, decoder: str | None) -> Job:
    """A run of `loaded` into the folder `out`.

    Raises:
        UsageError: `out` is taken, or cannot be written; it or the recipe is not called in UTF-8.
        CheckpointError: The weights to start from are none by their first bytes.
    """
    check_recordable("recipe", loaded.title)
    if loaded.recipe.model.init is not None:
        check_weights(Path(loaded.recipe.model.init))
    folder = None if out is None else RunFolder(out)
    if folder is not None:
        folder.check_new()
        folder.check_writable()
    return Job(loaded.title, loaded.recipe, folder, data, decoder, tuple(loaded.notes))


def continued_job(
    recipe: str | None,
    overrides: Sequence[str],
    out: Path | None,
    data: Path | None,
    decoder: str | None,
) -> Job:
    """The run in `out`, or the newest unfinished one, with its own data and decoder.

    Args:
        recipe: The name of a recipe that must be the run's; None: the run's own.
        overrides: `KEY=VALUE` texts that must leave it the run's.
        data: Where the data set is now, if it was moved.
        decoder: Another library than before.

    A run that was killed before it was recorded is begun again.

    Raises:
        UsageError: There is no unfinished run, or nothing is known of it and none is named.
        RecipeError: There is no such recipe, or an override is wrong.
        CheckpointError: `out` is not a run folder, or belongs to another recipe.
    """
    folder = newest_run(finished=False) if out is None else RunFolder(out)
    if folder.is_half_made:
        return _begun_again(folder, recipe, overrides, data, decoder)
    begun = folder.recipe()
    if recipe is not None or overrides:  # compared before the data is opened, which takes a while
        name = recipe or str(folder.recipe_file)
        check_same(folder, load_recipe(name, overrides, of_run=True).recipe)
    known = folder.about()
    return Job(known.recipe, begun, folder, data or Path(known.data), decoder or known.decoder)


def _begun_again(
    folder: RunFolder,
    recipe: str | None,
    overrides: Sequence[str],
    data: Path | None,
    decoder: str | None,
) -> Job:
    is_known = folder.recipe_file.is_file()
    if recipe is None and not is_known:
        raise UsageError(
            f"{folder.path}: nothing was trained in it, and it does not say what was to be",
            hint=f"begin it with `{command_line('train', 'RECIPE', '--out', folder.path)}`",
        )
    loaded = load_recipe(recipe or str(folder.recipe_file), overrides, of_run=is_known)
    if is_known:
        check_same(folder, loaded.recipe)
    job = new_job(loaded, folder.path, data, decoder)
    return job if recipe is not None else replace(job, name=loaded.card)  # `create` keeps it there
