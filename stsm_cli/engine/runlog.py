"""The run folder: what was run, on what, and what came out.

recipe.yaml        the resolved recipe; reloads to an equal one
classes.txt        the class names, one a line in label order
environment.json   versions, device, decoder, data set, commit, command
metrics.jsonl      one JSON object an epoch
checkpoints/       last.pt; best.pt, of the epoch with the best validation accuracy
tensorboard/       on request
wandb/             on request: what is to be sent, and the run's id there
.lock              while a process is training in it; .owner where there are no locks
result.npz         the final test's class probabilities of every video
result.json        written last: a run without it is unfinished
"""

import json
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from stsm_cli.atomic import is_draft, try_file, write_file
from stsm_cli.config.load import dump_recipe, read_recipe
from stsm_cli.config.schema import Recipe
from stsm_cli.data.manifest import hash_of, read_classes
from stsm_cli.engine.lock import LOCK, OWNER, Hold
from stsm_cli.errors import CheckpointError, RecipeError, StsmError, UsageError
from stsm_cli.printable import command_line, one_line
from stsm_cli.stored import (
    Environment,
    Epoch,
    Kind,
    Result,
    as_stored,
    contradiction,
    read_lines,
    read_stored,
    result_record,
)

_START = {
    True: "start one with `stsm train`; `stsm weights` lists trained networks that come along",
    False: "start one with `stsm train`",
}
"""Hint where no run is found, by whether a finished one is looked for."""
CHECKPOINTS = "checkpoints"
"""The folder of a run's weights."""


class RunFolder:
    """Paths and files of one run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.recipe_file = path / "recipe.yaml"
        self.classes_file = path / "classes.txt"
        self.environment_file = path / "environment.json"
        self.metrics_file = path / "metrics.jsonl"
        self.checkpoint = path / CHECKPOINTS / "last.pt"
        self.best_checkpoint = path / CHECKPOINTS / "best.pt"
        self.board = path / "tensorboard"
        self.wandb = path / "wandb"
        self.result_file = path / "result.json"
        self.scores_file = path / "result.npz"
        self.hold = Hold()

    @property
    def name(self) -> str:
        """The folder's own name."""
        return self.path.name

    @property
    def is_untrained(self) -> bool:
        """Tell whether nothing was trained in it: it holds no more than what `create` makes."""
        about = {self.recipe_file, self.classes_file, self.environment_file}
        known = about if self.checkpoint.parent.is_dir() else set()  # else they are the user's own
        known |= {self.path / LOCK, self.path / OWNER}
        return all(
            file in known
            or self._is_draft(file)  # by its name: one of another process may be gone by now
            or not {self.board, self.wandb}.isdisjoint(file.parents)
            or (file == self.metrics_file and file.stat().st_size == 0)
            for file in self.path.rglob("*")
            if not file.is_dir()
        )

    @property
    def is_half_made(self) -> bool:
        """Tell whether a process was killed while making the folder: nothing is to be continued."""
        is_made = self.recipe_file.is_file() and self.environment_file.is_file()
        return self.path.is_dir() and not is_made and self.is_untrained

    @property
    def resume_command(self) -> str:
        """The command that continues it, as a hint shows it."""
        return f"`{command_line(*self.resume_words)}`"

    @property
    def resume_words(self) -> tuple[str | Path, ...]:
        """The words of that command, with the options that the run does not keep by itself."""
        compiled = None
        with suppress(CheckpointError):
            compiled = self.environment().get("compile")
        words = ("train", "--resume", "--out", self.path, "--compile" if compiled else "")
        return tuple(filter(None, (*words, "--tensorboard" if self.board.is_dir() else "")))

    def begin_from(self, checkpoint: Path) -> str:
        """The command that begins a run of its recipe from weights, as a hint shows it."""
        words = ("train", self.recipe_file, "--init", checkpoint, *self._data_words())
        return f"`{command_line(*words)}`"

    def _data_words(self) -> tuple[str, ...]:
        """`--data` and the folder of its data, where that is known and not the default place."""
        what, default = "a run's environment", None
        try:
            known = read_stored(self.environment_file, Environment, what, CheckpointError)[0].data
        except CheckpointError:  # a hint says what it can
            return ()
        with suppress(RecipeError):
            default = read_recipe(self.recipe_file).data.place().resolve()
        return () if Path(known) == default else ("--data", known)

    def check_new(self) -> None:
        """Refuse a place that is taken.

        Raises:
            UsageError: The path is a file, or a folder that holds more than an untrained run.
        """
        if self.path.exists() and not self.path.is_dir():
            raise UsageError(f"--out {self.path}: is a file, not a folder")
        if not self.is_untrained:
            is_run = self.recipe_file.is_file()
            way = f"continue it with {self.resume_command}, or " if is_run else ""
            raise UsageError(
                f"--out {self.path}: exists and is not empty", hint=f"{way}choose another folder"
            )

    def check_writable(self) -> None:
        """Refuse a place that takes no run.

        Raises:
            UsageError: It cannot be written, or its name is not UTF-8.
        """
        check_recordable("--out", self.path)
        try:
            try_file(self.recipe_file)
        except OSError as error:
            raise UsageError(f"--out {self.path}: cannot be written ({error.strerror})") from None

    def create(self, recipe: Recipe, environment: dict[str, Any], classes: Sequence[str]) -> None:
        """Make the folder and write what is known before the run.

        Raises:
            UsageError: The folder is not new, or cannot be written.
        """
        self.check_new()
        try:
            self.checkpoint.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"--out {self.path}: cannot be written ({error.strerror})") from None
        self._drop_drafts()
        name = environment.get("recipe", self.name)
        write_file(self.recipe_file, f"# {one_line(name)}\n{dump_recipe(recipe)}".encode())
        write_file(self.classes_file, "".join(f"{name}\n" for name in classes).encode())
        write_json(self.environment_file, environment)

    def forget_if_empty(self) -> None:
        """Give the folder's number back after a run that failed before it wrote anything."""
        with suppress(OSError):
            self.path.rmdir()

    def recipe(self) -> Recipe:
        """The recipe of this run.

        Raises:
            CheckpointError: This is not a run folder.
            RecipeError: The file is damaged; names what can still be done.
        """
        if not self.recipe_file.is_file():
            raise CheckpointError(
                f"{self.path}: not a run folder (no recipe.yaml)",
                hint="name one that `stsm train` made",
            )
        try:
            return read_recipe(self.recipe_file)
        except RecipeError as error:
            data = self._data_words()
            way = command_line("eval", "RECIPE", "--checkpoint", self.checkpoint, *data)
            raise RecipeError(
                str(error), hint=f"`{way}` tests its weights by another recipe"
            ) from None

    def classes(self) -> tuple[str, ...] | None:
        """The class names in label order; None where the run did not keep them.

        Raises:
            DataError: The file cannot be read.
            CheckpointError: It is not the list of the training.
        """
        if not self.classes_file.is_file():
            return None
        names = read_classes(self.classes_file)
        if self.about().class_hash not in (None, hash_of(names)):
            raise CheckpointError(
                f"{self.classes_file}: damaged, it is not the class list of the training",
                hint="copy manifest/classes.txt of the data set to there",
            )
        return names

    def about(self) -> Environment:
        """Read what is needed to go on with the run, or to test it.

        Raises:
            CheckpointError: `environment.json` is damaged; names the key.
        """
        return self._read(self.environment_file, Environment, "a run's environment")[0]

    def environment(self) -> dict[str, Any]:
        """Read what `create` recorded of machine, data and versions, as it stands.

        Raises:
            CheckpointError: As `about`.
        """
        return self._read(self.environment_file, Environment, "a run's environment")[1]

    def outcome(self) -> Result | None:
        """The run's result, or None if it has not finished.

        Raises:
            CheckpointError: `result.json` is damaged; names the key.
        """
        found = self._result()
        return None if found is None else found[0]

    def result(self) -> dict[str, Any] | None:
        """The run's result as it stands, or None if it has not finished.

        Raises:
            CheckpointError: As `outcome`.
        """
        found = self._result()
        return None if found is None else found[1]

    def _result(self) -> tuple[Result, dict[str, Any]] | None:
        file = self.result_file
        if not file.exists():
            return None
        again = f"move it away; {self.resume_command} makes it again"
        result, plain = read_stored(file, Result, "a run's result", CheckpointError, again)
        if problem := contradiction(result):
            raise CheckpointError(f"{file}: {problem}", hint=again)
        return result, plain

    def metrics(self) -> list[dict[str, Any]]:
        """The epochs logged so far, as they stand, from the first on without a gap.

        Where there are no locks two processes may have logged them: each counts by its first line.

        Raises:
            CheckpointError: A line is damaged; names it and the key.
        """
        file, what = self.metrics_file, "the metrics of an epoch"
        if not file.exists():
            return []
        kept: list[dict[str, Any]] = []
        with self._naming_ways_out():
            for _, line in read_lines(file, Epoch, what, CheckpointError):
                if line["epoch"] == len(kept) + 1:
                    kept.append(line)
        return kept

    def _read(self, file: Path, kind: type[Kind], what: str) -> tuple[Kind, dict[str, Any]]:
        with self._naming_ways_out():
            return read_stored(file, kind, what, CheckpointError)

    @contextmanager
    def _naming_ways_out(self) -> Iterator[None]:
        """A block that reads one of its files; errors say what can still be done."""
        try:
            yield
        except CheckpointError as error:
            raise CheckpointError(str(error), hint=self._ways_out()) from None

    def _ways_out(self) -> str:
        """A hint for a run that cannot be continued."""
        if not self.checkpoint.is_file():
            return "it has no checkpoint yet: choose another --out to begin anew"
        data = self._data_words()
        test = command_line("eval", self.recipe_file, "--checkpoint", self.checkpoint, *data)
        return f"`{test}` tests its weights, {self.begin_from(self.checkpoint)} starts from them"

    def finished_metrics(self) -> list[dict[str, Any]]:
        """The epochs of a run that has finished.

        Raises:
            CheckpointError: They are not all there, or a line is damaged.
        """
        epochs, found = self.recipe().optim.epochs, self.metrics()
        if len(found) != epochs:
            raise CheckpointError(
                f"{self.metrics_file}: holds {len(found)} of the {epochs} epochs of a finished run"
            )
        return found

    def tidy(self, epochs: int) -> None:
        """Forget what a run left that was killed after the checkpoint, which ends `epochs` epochs.

        The resumed run logs the later ones again; files half written are deleted.

        Raises:
            CheckpointError: Earlier ones are missing.
        """
        self._drop_drafts()
        kept = [line for line in self.metrics() if line["epoch"] <= epochs]
        if len(kept) < epochs:
            raise CheckpointError(
                f"{self.metrics_file}: holds {len(kept)} of the {epochs} epochs that "
                f"{self.checkpoint} ends",
                hint=f"{self.begin_from(self.checkpoint)} starts from its weights",
            )
        lines = "".join(json.dumps(line) + "\n" for line in kept)
        write_file(self.metrics_file, lines.encode())

    def _is_draft(self, file: Path) -> bool:
        about = (self.recipe_file, self.classes_file, self.environment_file, self.path / OWNER)
        epochs = (self.metrics_file, self.checkpoint, self.best_checkpoint)
        end = (self.scores_file, self.result_file)
        return any(is_draft(file, own) for own in (*about, *epochs, *end))

    def _drop_drafts(self) -> None:
        for file in self.path.rglob("*.tmp"):
            if self._is_draft(file) and not file.is_dir():
                file.unlink(missing_ok=True)

    def log_epoch(self, metrics: dict[str, Any]) -> None:
        """Append one epoch to `metrics.jsonl`, of the keys of `Epoch` and more.

        It is on the disk before the checkpoint that counts on it.

        Raises:
            StsmError: It cannot be written.
        """
        as_stored(Epoch, metrics)
        try:
            with self.metrics_file.open("a") as file:
                file.write(json.dumps(metrics) + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            told = f"{self.metrics_file}: cannot be written ({error.strerror})"
            raise StsmError(told) from None


def check_recordable(what: str, name: object) -> None:
    """Refuse a name that the record of a run cannot hold.

    Args:
        what: The option that gives the name.
        name: A path, or what a recipe is called.

    Raises:
        UsageError: It is not UTF-8.
    """
    try:
        str(name).encode()
    except UnicodeEncodeError:
        raise UsageError(
            f"{what} {name}: is not UTF-8, so the record of a run cannot name it", hint="rename it"
        ) from None


def claim_run_folder(recipe_name: str, parent: Path = Path("runs")) -> Path:
    """Make `runs/<recipe>-<number>`, its number above all in use; no two callers get the same.

    Raises:
        UsageError: It cannot be made.
    """
    stem = recipe_name.replace("/", "-")
    while True:
        try:
            parent.mkdir(parents=True, exist_ok=True)
            numbered = (
                re.fullmatch(rf"{re.escape(stem)}-(\d{{3,}})", p.name) for p in parent.iterdir()
            )
            path = parent / f"{stem}-{max((int(m[1]) for m in numbered if m), default=0) + 1:03d}"
            path.mkdir()
        except FileExistsError:
            if not parent.is_dir():
                raise UsageError(f"{parent}: is a file, not a folder") from None
        except OSError as error:
            raise UsageError(f"{parent}/: cannot be written ({error.strerror})") from None
        else:
            return path


def newest_run(parent: Path = Path("runs"), *, finished: bool) -> RunFolder:
    """The run below `parent` that was started last, among the finished or the unfinished ones.

    Raises:
        UsageError: There is none.
    """
    runs = [RunFolder(file.parent) for file in parent.glob("*/recipe.yaml")]
    runs = [run for run in runs if run.result_file.is_file() == finished]
    if not runs:
        kind = "finished" if finished else "unfinished"
        raise UsageError(f"{parent}/: holds no {kind} run", hint=_START[finished])
    return max(runs, key=lambda run: (run.recipe_file.stat().st_mtime_ns, run.name))


def instead_of(checkpoint: Path) -> str | None:
    """A hint for a damaged last checkpoint of a run; None for other files, and without a best."""
    run = RunFolder(checkpoint.parent.parent)
    if checkpoint != run.checkpoint or not run.best_checkpoint.is_file():
        return None
    test = command_line("eval", run.path, "--best")
    start = run.begin_from(run.best_checkpoint)
    return f"`{test}` tests the checkpoint of its best epoch, {start} starts from it"


def write_json(path: Path, value: Any) -> None:  # noqa: ANN401
    """Write `value` as indented JSON, atomically."""
    write_file(path, f"{json.dumps(value, indent=2)}\n".encode())


def write_result(path: Path, result: Result) -> None:
    """Write a result, atomically.

    Raises:
        StsmError: It cannot be written.
    """
    write_json(path, result_record(result))
