"""Tests that run folders keep, with their scores, and whether two of them are about the same.

torch is not imported here: what does not fit is told at once.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from stsm_cli.config.schema import Recipe
from stsm_cli.engine.runlog import RunFolder
from stsm_cli.engine.score_files import SavedScores, read_scores
from stsm_cli.engine.trained import edit_protocol
from stsm_cli.errors import CheckpointError, DataError
from stsm_cli.printable import command_line
from stsm_cli.stored import Result, read_stored

_TEST_ALIKE = "test both on one set: `stsm eval RUN --data ROOT`, then `stsm fuse`"
_GENERATOR = "/"  # between the name and the version of a generator; hashes have none


@dataclass(frozen=True)
class KeptTest:
    """A run's test, as it was kept.

    Attributes:
        folder: The run's.
        recipe: Under the protocol of the test.
        result: What came out.
        scores: Of every video.
    """

    folder: RunFolder
    recipe: Recipe
    result: Result
    scores: SavedScores


def kept_test(run: Path, protocol: str | None) -> KeptTest:
    """The test of the run folder `run` under a protocol; None: under that of its recipe.

    Of a finished run only tests of the weights that it ended with count: an earlier `stsm eval`
    may have been of others.

    Raises:
        CheckpointError: It is no run folder, or keeps no scores of that test.
        UsageError: The protocol does not fit.
    """
    folder = RunFolder(run)
    recipe = edit_protocol(folder.recipe(), protocol=protocol)
    option = () if protocol is None else ("--protocol", protocol)
    hint = f"`{command_line('eval', run, *option)}` keeps them"
    return _first_kept(folder, recipe, (f"eval-{recipe.protocol}", folder.result_file.stem), hint)


def last_test(run: Path) -> KeptTest:
    """The test that ended the training of the run folder `run`, whatever was tested since.

    Raises:
        CheckpointError: It is no run folder, or keeps no scores of that test.
    """
    folder = RunFolder(run)
    hint = f"move {run} away; the same command then does the run anew"
    return _first_kept(folder, folder.recipe(), (folder.result_file.stem,), hint)


def _first_kept(folder: RunFolder, recipe: Recipe, stems: Sequence[str], hint: str) -> KeptTest:
    """The first of a run's tests under the recipe's protocol, by the names of their files."""
    told, weights = f"{folder.path}: keeps no scores of {recipe.protocol}", _last_weights(folder)
    for stem in stems:
        try:
            kept = _kept(folder, recipe, stem, weights)
        except (CheckpointError, DataError) as error:  # another may serve
            told, hint = str(error), error.hint or hint
        else:
            if kept is not None:
                return kept
    raise CheckpointError(told, hint=hint)


def _kept(folder: RunFolder, recipe: Recipe, stem: str, weights: str | None) -> KeptTest | None:
    """The test in the files `stem`; None where they hold none under the recipe's protocol."""
    file, scores = folder.path / f"{stem}.json", folder.path / f"{stem}.npz"
    if not (file.is_file() and scores.is_file()):
        return None
    result, _ = read_stored(file, Result, "a result", CheckpointError)
    if result.protocol != recipe.protocol:
        return None
    saved, what = read_scores(scores), f"{folder.path}: its scores of {recipe.protocol} are"
    if not _is_of(saved, result):
        raise CheckpointError(f"{what} of another test than its result")
    if weights not in (None, result.weights_sha256):
        raise CheckpointError(f"{what} not of the weights that it ended with")
    return KeptTest(folder, recipe, result, saved)


def _is_of(saved: SavedScores, result: Result) -> bool:
    """True if scores are of the test of a result, as far as old ones tell: a kill parts them."""
    known = result.protocol, result.weights_sha256, result.list_sha256
    return all(mine in (None, told) for mine, told in zip(known, saved.test, strict=True))


def _last_weights(folder: RunFolder) -> str | None:
    """SHA-256 of the weights that a run ended with; None where that is not known."""
    with suppress(CheckpointError):  # a damaged result: a test of its own may be there all the same
        if (result := folder.outcome()) is not None:
            return result.weights_sha256
    return None


def check_same(first: KeptTest, second: KeptTest) -> None:
    """Refuse tests that are not about the same.

    Raises:
        DataError: They differ in protocol, code, classes or videos; names the first difference.
    """
    mine, other = first.result.protocol, second.result.protocol
    if mine != other:
        raise DataError(
            f"{second.folder.path}: its protocol is {other}, that of {first.folder.path} is {mine}",
            hint="test both alike: `stsm eval RUN --protocol NAME`, then `stsm fuse` with it",
        )
    was, now = second.result.numerics, first.result.numerics
    if was != now:
        raise DataError(
            f"{second.folder.path}: was tested by code of numerics {was}, {first.folder.path} of "
            f"{now}",
            hint=_TEST_ALIKE,
        )
    _check_classes(first, second)
    _check_videos(first, second)
    _check_files(first, second)


def _check_classes(first: KeptTest, second: KeptTest) -> None:
    names, others = first.scores.classes, second.scores.classes
    if len(names) != len(others):
        told = f"{len(others)} classes, {first.folder.path} {len(names)}"
        raise DataError(f"{second.folder.path}: knows {told}")
    for label, (name, other) in enumerate(zip(names, others, strict=True)):
        if name != other:
            raise DataError(
                f"{second.folder.path}: class {label} is {other!r}, in {first.folder.path} {name!r}"
            )


def _check_videos(first: KeptTest, second: KeptTest) -> None:
    """Both were tested on the same videos, of the same classes."""
    labels, others = first.scores.labels, second.scores.labels
    for test, wanted, found in ((second, labels, others), (first, others, labels)):
        if lacking := [path for path in wanted if path not in found]:
            more = f", and {len(lacking) - 1} more" if len(lacking) > 1 else ""
            raise DataError(
                f"{test.folder.path}: was not tested on {lacking[0]}{more}, the other run was",
                hint=_TEST_ALIKE,
            )
    for path, label in labels.items():
        if label != others[path]:
            classes = first.scores.classes
            raise DataError(
                f"{second.folder.path}: {path} is of class {classes[others[path]]!r}, in "
                f"{first.folder.path} of {classes[label]!r}"
            )


def _check_files(first: KeptTest, second: KeptTest) -> None:
    """The videos of these names were the same."""
    mine, other = first.result.split_id, second.result.split_id
    if mine == other:
        return
    told = f"was tested on other files of the same names than {first.folder.path}"
    if mine and other and _GENERATOR in mine + other:  # else hashes, which tell nobody anything
        told = f"its split is {other}, that of {first.folder.path} is {mine}"
    raise DataError(f"{second.folder.path}: {told}", hint=_TEST_ALIKE)
