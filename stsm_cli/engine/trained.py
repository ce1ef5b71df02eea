"""The subject of `stsm eval` and `stsm predict`: a run or weights, and the protocol of a test.

Found and checked before torch is imported. Protocols have names, as in `Recipe.protocol`:
`[data set-]<clips>x<crops>@<pixels>[-score][-test]`; `-score` says that views are averaged before
the softmax, `-test` that the videos are those of the split `test`.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from stsm_cli.config.kinds import rules
from stsm_cli.config.load import describe, load_recipe, recipe_names
from stsm_cli.config.run_identity import init_sha256
from stsm_cli.config.schema import Recipe
from stsm_cli.data.mirror import Mirror, written_mirror
from stsm_cli.engine.bundled import almost_bundled, bundled_file, bundled_names, weights_card
from stsm_cli.engine.card import ModelCard, card_mirror, card_recipe
from stsm_cli.engine.runlog import CHECKPOINTS, RunFolder, instead_of, newest_run
from stsm_cli.errors import CheckpointError, StsmError, UsageError
from stsm_cli.models.weights_kind import SAFETENSORS, check_weights
from stsm_cli.printable import command_line

_NAME = re.compile(
    r"(?:(?P<dataset>\w+)-)?(?P<clips>\d+)x(?P<crops>\d+)@(?P<crop_px>\d+)(?P<score>-score)?"
    r"(?P<test>-test)?"
)
TEST_KEYS = ("data.short_side_px", "data.sampling", "precision")  # and all of `test`


@dataclass(frozen=True)
class Trained:
    """Something to test: weights, the recipe they were trained with, and where results go.

    Attributes:
        name: The title of the recipe.
        recipe: As it was trained, but for `edits` and the `test` section, which is its protocol.
        checkpoint: The weights' file.
        folder: The run's, unless the weights came by themselves.
        overrides: `KEY=VALUE` texts that edited the recipe.
        edits: `KEY=VALUE` of what they change outside the protocol.
        card: Of weights that come along.
    """

    name: str
    recipe: Recipe
    checkpoint: Path
    folder: RunFolder | None
    overrides: tuple[str, ...] = ()
    edits: tuple[str, ...] = ()
    card: ModelCard | None = None

    @property
    def called(self) -> str:
        """Name in messages: the weights' file, or the recipe of those that come along."""
        return self.name if self.card else str(self.checkpoint)

    @property
    def origin(self) -> "Trained | None":
        """The same with its run or card: of weights by themselves, what their file tells of."""
        return self if self.folder or self.card else trained_as(self.checkpoint)

    @property
    def classes(self) -> tuple[str, ...] | None:
        """Names of the classes in label order, where run or card have them."""
        known = self.origin
        if known and known.card:
            names = known.card.classes
            return None if names == class_numbers(len(names)) else names
        return known.folder.classes() if known and known.folder else None

    @property
    def init_sha256(self) -> str | None:
        """Of the file that the training started from, where that is known."""
        return self.folder.about().init_sha256 if self.folder else init_sha256(self.recipe)

    def check(self) -> None:
        """Refuse weights that are none, before torch is imported.

        Raises:
            CheckpointError: The file is missing, or shows by its first bytes that it is another.
        """
        with naming_another(self.checkpoint):
            check_weights(self.checkpoint)

    @property
    def protocol(self) -> str:
        """Name of its test: the recipe's protocol, then the edits."""
        return "+".join((self.recipe.protocol, *self.edits))

    def under(
        self,
        *,
        protocol: str | None = None,
        clips: int | None = None,
        crops: int | None = None,
        split: str | None = None,
    ) -> "Trained":
        """The same to be tested under another protocol.

        Raises:
            UsageError: As `edit_protocol`.
        """
        recipe = edit_protocol(
            self.recipe, self.overrides, protocol=protocol, clips=clips, crops=crops, split=split
        )
        return replace(self, recipe=recipe)

    @property
    def decoder(self) -> str | None:
        """The one that the training read with, where that is known."""
        return self.folder.about().decoder if self.folder else None

    @property
    def mirror(self) -> Mirror | None:
        """Effect of a mirror on the classes in the training, where that is known."""
        if self.card is not None:
            return card_mirror(self.card)
        known = self.folder.about().mirror if self.folder else None
        return None if known is None else Mirror(known.pairs, known.source)

    def mirror_of(self, classes: Sequence[str], root: Path | None) -> Mirror | None:
        """The same; of weights without run and card what the data set's own file says, if it does.

        Args:
            classes: Names in label order.
            root: The data set; None: its default place.

        Raises:
            DataError: The file is wrong.
        """
        known = self.origin
        return known.mirror if known else written_mirror(root or self.recipe.data.place(), classes)

    @property
    def data_root(self) -> Path | None:
        """The data set of the training, where that is known."""
        return Path(self.folder.about().data) if self.folder else None


def trained(
    run: str | None,
    checkpoint: Path | None,
    *,
    overrides: Sequence[str] = (),
    best: bool = False,
) -> Trained:
    """The run folder `run` (None: the newest finished one), or `checkpoint` under the recipe `run`.

    Where no folder has the name of trained weights that come along, these are meant.

    Args:
        overrides: `KEY=VALUE` texts that edit the recipe; of a run, only what a test may change.
        best: Take the run's checkpoint of the best validation accuracy, not its last.

    Raises:
        UsageError: There is no finished run; a checkpoint comes without a recipe; an override
            would change what was trained.
        RecipeError: The recipe or an override is wrong.
        CheckpointError: `run` is not a run folder.
    """
    if checkpoint is not None:
        if run is None or best:
            example = command_line("eval", "synth/stsm", "--checkpoint", checkpoint)
            raise UsageError(
                f"--checkpoint {checkpoint}: " + ("excludes --best" if best else "needs a recipe"),
                hint=f"for example `{example}`",
            )
        loaded = load_recipe(run, overrides)
        return Trained(loaded.title, loaded.recipe, checkpoint, None, tuple(overrides))
    folder = RunFolder(Path(run)) if run is not None else newest_run(finished=True)
    if run in recipe_names() and not folder.path.exists():
        return _come_along(run, overrides, best)
    if run is not None and (near := almost_bundled(run)):
        raise CheckpointError(f"{run}: no such run folder", hint=f"did you mean `{near}`?")
    recipe, edits = _edited(folder.recipe(), str(folder.recipe_file), overrides)
    file = folder.best_checkpoint if best else folder.checkpoint
    return Trained(folder.about().recipe, recipe, file, folder, tuple(overrides), edits)


def class_numbers(num_classes: int) -> tuple[str, ...]:
    """What classes are called whose names nobody knows."""
    return tuple(f"class {label}" for label in range(num_classes))


def trained_as(checkpoint: Path) -> Trained | None:
    """What weights say of their training, by the card in their file or the run around it.

    None where nothing that is readable says it.
    """
    folder = checkpoint.absolute().parent
    with suppress(StsmError):
        if checkpoint.suffix == SAFETENSORS:
            card = weights_card(checkpoint)
            recipe = card_recipe(checkpoint, card)
            return Trained(card.name, recipe, checkpoint, None, card=card)
        if folder.name == CHECKPOINTS:
            run = RunFolder(folder.parent)
            return Trained(run.about().recipe, run.recipe(), checkpoint, run)
    return None


@contextmanager
def naming_another(checkpoint: Path) -> Iterator[None]:
    """A block that reads a checkpoint; its errors name the run's other one, where there is one."""
    try:
        yield
    except CheckpointError as error:
        hint = error.hint if checkpoint.exists() else None
        raise CheckpointError(
            str(error), hint=hint or instead_of(checkpoint) or error.hint
        ) from None


def _come_along(name: str, overrides: Sequence[str], best: bool) -> Trained:
    """The trained weights of that name.

    Raises:
        CheckpointError: None of that recipe come along.
        UsageError: They have no best epoch; an override would change what was trained.
    """
    if name not in bundled_names():
        test = command_line("eval", name, "--checkpoint", "FILE")
        raise CheckpointError(
            f"{name}: is a recipe, not a run folder, and its weights do not come along",
            hint=f"those of {', '.join(bundled_names())} do; `{test}` tests others by it",
        )
    if best:
        raise UsageError(f"--best: {name} has the weights of its last epoch alone")
    path = bundled_file(name)
    card = weights_card(path)
    recipe, edits = _edited(card_recipe(path, card), name, overrides)
    return Trained(card.name, recipe, path, None, tuple(overrides), edits, card)


def _edited(recipe: Recipe, file: str, overrides: Sequence[str]) -> tuple[Recipe, tuple[str, ...]]:
    """What was trained under overrides, and those that change more than the protocol.

    Args:
        recipe: The trained one.
        file: Its file or name.
        overrides: `KEY=VALUE` texts.
    """
    if not overrides:
        return recipe, ()
    edited = load_recipe(file, overrides, of_run=True)
    known = {(key, value) for key, value, _ in describe(load_recipe(file, of_run=True))}
    changed = [(key, value) for key, value, _ in describe(edited) if (key, value) not in known]
    edits = [(key, value) for key, value in changed if not key.startswith("test.")]
    for key, value in edits:
        if key not in TEST_KEYS:
            raise UsageError(
                f"--set {key}={value}: would change what was trained",
                hint=f"a test may change test.*, {', '.join(TEST_KEYS)}",
            )
    return edited.recipe, tuple(f"{key}={value}" for key, value in edits)


def _refuse_said_twice(overrides: Sequence[str], parts: Mapping[str, object]) -> None:
    """Refuse `--set test.*` beside one of the options `parts`, by name, that would replace it."""
    given = {f"test.{name}": f"--{name} {part}" for name, part in parts.items() if part is not None}
    for override in overrides:
        key = override.partition("=")[0]
        if "test.protocol" in given and key.startswith("test."):
            raise UsageError(
                f"--set {override}: means nothing with --protocol, whose name says all of a test",
                hint="`-score` at its end averages scores, `-test` takes the test split",
            )
        if key in given:
            raise UsageError(f"--set {override}: means nothing with {given[key]}")


def edit_protocol(
    recipe: Recipe,
    overrides: Sequence[str] = (),
    *,
    protocol: str | None = None,
    clips: int | None = None,
    crops: int | None = None,
    split: str | None = None,
) -> Recipe:
    """The recipe under another protocol: a whole name, then single edits of its parts.

    Args:
        overrides: `KEY=VALUE` texts that edited the recipe before.

    Raises:
        UsageError: The name is not a protocol's, belongs to another data set, the protocol does
            not fit the recipe (size, sampling), or an override says the same part of the test.
    """
    parts = {"clips": clips, "crops": crops, "split": split}
    _refuse_said_twice(overrides, {"protocol": protocol, **parts})
    test = recipe.test.model_dump()
    if protocol is not None:
        test = _parse(protocol, recipe.data.dataset)
    test |= {key: part for key, part in parts.items() if part is not None}
    own = recipe.model_dump(exclude_unset=True)  # what is left to the data set stays so
    try:
        return Recipe.model_validate(own | {"test": test})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        rule = rules(first["msg"])[0][0].replace("Input should be", "must be")
        problem = f"{where} {rule}, got {first['input']}" if where else rule
        raise UsageError(f"the protocol does not fit the recipe: {problem}") from None


def _parse(protocol: str, dataset: str) -> dict[str, Any]:
    match = _NAME.fullmatch(protocol)
    if match is None:
        raise UsageError(
            f"--protocol {protocol}: not of the form "
            "[data set-]<clips>x<crops>@<pixels>[-score][-test]",
            hint="for example `1x10@32` or `k400-10x3@256`",
        )
    if match["dataset"] not in (None, dataset):
        raise UsageError(
            f"--protocol {protocol}: belongs to {match['dataset']}, the run's data set is {dataset}"
        )
    numbers = {key: int(match[key]) for key in ("clips", "crops", "crop_px")}
    average, split = ("score" if match["score"] else "prob"), ("test" if match["test"] else "val")
    return numbers | {"average": average, "split": split}
