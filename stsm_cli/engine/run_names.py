"""Run folders below `runs/`: the next free one, and the one that was started last."""

import re
from pathlib import Path

from stsm_cli.engine.runlog import RunFolder
from stsm_cli.errors import UsageError


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
        raise UsageError(f"{parent}/: holds no {kind} run", hint="start one with `stsm train`")
    return max(runs, key=lambda run: (run.recipe_file.stat().st_mtime_ns, run.name))
