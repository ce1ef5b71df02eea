"""Runs of two streams, of RGB and of optical flow: each is trained, then their scores are fused."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stsm_cli.analysis.ablation import Run
    from stsm_cli.analysis.sweep import Outcome

    Task = tuple[Run, Path]
    """A run and its folder."""
    RunAll = Callable[[Sequence[Task]], Iterable[tuple[int, Outcome]]]


def run_streams(run_all: "RunAll", tasks: "Sequence[Task]") -> "Iterator[tuple[int, Outcome]]":
    """Outcomes of `tasks`, by their number, as they finish.

    Args:
        run_all: Does runs of one stream; runs that share a folder are done once.
    """
    alone = {folder: run for task in tasks for run, folder in stream_tasks(task)}
    folders, outcomes, waiting = list(alone), {}, dict(enumerate(tasks))
    for number, outcome in run_all([(run, folder) for folder, run in alone.items()]):
        outcomes[folders[number]] = outcome
        for place, task in list(waiting.items()):
            own = [folder for _, folder in stream_tasks(task)]
            if all(folder in outcomes for folder in own):
                del waiting[place]
                yield place, _together({folder: outcomes[folder] for folder in own})


def stream_tasks(task: "Task") -> "list[Task]":
    """The run itself, or each of its streams, whose folders lie side by side."""
    run, folder = task
    return [(stream, folder.with_name(stream.folder)) for stream in run.streams]


def _together(parts: "dict[Path, Outcome]") -> "Outcome":
    """One outcome of the runs in their folders."""
    first, *others = parts.values()
    if not others:
        return first
    from stsm_cli.config.networks_3d import fusion_of
    from stsm_cli.engine.fusion import fuse
    from stsm_cli.engine.kept_tests import last_test
    from stsm_cli.stored import result_record

    rgb, flow = map(last_test, parts)
    by = fusion_of(rgb.recipe.model.backbone)
    trained = sum(outcome.result["seconds_train"] for outcome in parts.values())
    result = result_record(fuse(rgb, flow, by=by).result) | {"seconds_train": trained}
    return replace(first, result=result, flow=others[0])
