"""A recipe's data set, opened: where it lies by default, and made if it is generated."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from stsm_cli.config.folder import FOLDER
from stsm_cli.config.schema import DataConfig
from stsm_cli.cores import num_cores
from stsm_cli.data.counts import prepared_as
from stsm_cli.data.decode import Decoder
from stsm_cli.data.flow import Flow
from stsm_cli.data.flow_report import check_flow, check_flow_files
from stsm_cli.data.generated import GENERATED, make_where_absent
from stsm_cli.data.manifest import Manifest, read_manifest
from stsm_cli.data.motion import open_motion
from stsm_cli.data.videos import Videos, cache_budget, held_bytes, open_videos
from stsm_cli.errors import DataError
from stsm_cli.printable import command_line
from stsm_cli.progress import SILENT, Progress


def open_split(
    config: DataConfig,
    root: Path | None,
    split: str,
    *,
    decoder: Decoder,
    flow_fields: int = 0,
    processes: int = 1,
    budget_bytes: int | None = None,
    progress: Progress = SILENT,
) -> Videos:
    """A split of the recipe's data set; a generated one is made where it is absent.

    Where the sampler follows motion, it is measured, unless it was before.

    Args:
        config: The recipe's `data` section.
        root: The data set's folder; None: `data/<data set>` below the current folder.
        split: `train`, `val` or `test`.
        decoder: Which library decodes.
        flow_fields: Fields of optical flow, one after the other, that are read instead of a frame;
            0: the frame.
        processes: Those of this machine that each open it: they divide memory and cores.
        budget_bytes: Memory for decoded videos; None: as much as one process may take.
        progress: Told about generation and decoding.

    Raises:
        DataError: The set is missing, broken, or not the one the recipe asks for.
    """
    root = check_place(config, root, flow_fields)
    make_where_absent(config, root, progress=progress)
    threads = max(1, num_cores() // processes)
    videos = open_videos(
        root,
        split,
        config.short_side_px,
        decoder=decoder,
        budget_bytes=cache_budget(processes) if budget_bytes is None else budget_bytes,
        threads=threads,
        flow=_flow(config, flow_fields),
        progress=progress,
    )
    if flow_fields:
        check_flow_files(videos.manifest, config.flow)
    if config.sampling != "motion":
        return videos
    motion = open_motion(videos.manifest, threads=threads, progress=progress)
    return replace(videos, motion=motion)


def _flow(config: DataConfig, flow_fields: int) -> Flow | None:
    return Flow(config.flow, flow_fields) if flow_fields else None


def check_place(config: DataConfig, root: Path | None, flow_fields: int = 0) -> Path:
    """The folder of the recipe's data set, after a look at what it was made as; it may be absent.

    Raises:
        DataError: It holds another set than the recipe's, or not the flow that is read.
    """
    root = root if root is not None else config.place()
    if (found := prepared_as(root)) not in (None, config.dataset):
        raise DataError(
            f"{root}: was prepared as {found}, the recipe's data.dataset is {config.dataset}",
            hint=f"choose a recipe of {found}, or name another folder with --data{_instead(found)}",
        )
    if config.generated is not None:
        GENERATED[config.dataset].check(root, config.generated)
    if flow_fields:
        check_flow(root, config.flow, _how_to_prepare(config, root))
    return root


def _how_to_prepare(config: DataConfig, root: Path) -> str:
    if config.generated is None:
        return "prepare the data set there"
    draw = ["--draw", config.draw] if config.draw else []
    return f"`{command_line('prepare', config.dataset, root, *draw)}`"


def _instead(found: str) -> str:
    own = f"; `--set data.dataset={FOLDER}` has this one train on it"
    return own if found == FOLDER else ""


def obstacle(config: DataConfig, root: Path | None, flow_fields: int = 0) -> DataError | None:
    """The reason why the recipe's data set cannot be opened, as far as `check_place` tells."""
    try:
        check_place(config, root, flow_fields)
    except DataError as error:
        return error
    return None


def check_split(
    config: DataConfig, root: Path | None, split: str, *, flow_fields: int = 0
) -> Manifest | None:
    """A split's manifest, if it is there to be read: before torch is imported.

    Raises:
        DataError: As `open_split`, but for the faults found in the videos.
    """
    root = check_place(config, root, flow_fields)
    is_made = config.generated is not None  # it may still have to be
    return None if is_made else read_manifest(root, split)


class Splits(NamedTuple):
    """The videos that a training reads; without `test` its result is of `val`."""

    train: Videos
    val: Videos
    test: Videos | None = None


def open_splits(
    config: DataConfig,
    root: Path | None,
    *,
    decoder: Decoder,
    flow_fields: int = 0,
    test_split: str = "val",
    processes: int = 1,
    progress: Progress = SILENT,
) -> Splits:
    """The splits of a training, each as `open_split` gives it; one budget for all."""
    opened = partial(
        open_split,
        config,
        root,
        decoder=decoder,
        flow_fields=flow_fields,
        processes=processes,
        progress=progress,
    )
    budget = cache_budget(processes)
    train = opened(split="train", budget_bytes=budget)
    budget -= held_bytes(train)
    val = opened(split="val", budget_bytes=budget)
    if test_split == "val":
        return Splits(train, val)
    return Splits(train, val, opened(split=test_split, budget_bytes=budget - held_bytes(val)))
