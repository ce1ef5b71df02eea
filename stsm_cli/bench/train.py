"""How fast a recipe trains on this machine, beside the same network as MMAction2 trains it.

MMAction2 1.2 trains in float32, in contiguous layout and eagerly; processes read with decord, one
thread each, and the one that trains lays out what they read. Both kinds get as many processes. They
take turns by steps; where processes read, one follows the other, and the first steps do not count:
what is read ahead while the clock stands still would be free.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, count
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from stsm_cli.bench.drawn import HEIGHT, NUM_FRAMES, WIDTH, draw_videos
from stsm_cli.bench.peak import peak_bytes
from stsm_cli.bench.record import Table
from stsm_cli.bench.turns import Stopwatch
from stsm_cli.config.schema import Recipe
from stsm_cli.data.catalog import known_counts
from stsm_cli.data.dataset import open_split
from stsm_cli.data.decode import Decoder, available_decoders
from stsm_cli.data.flow import Flow
from stsm_cli.data.generated import GENERATED
from stsm_cli.data.loader import Batch, TrainLoader
from stsm_cli.data.manifest import Manifest
from stsm_cli.data.motion import MotionCurves, measure
from stsm_cli.data.videos import Videos
from stsm_cli.engine.fitting import fit_recipe
from stsm_cli.engine.optim import lr_at
from stsm_cli.engine.step import Stepper
from stsm_cli.errors import DataError
from stsm_cli.models.build import build_model
from stsm_cli.prepare.flow import prepare_flow
from stsm_cli.prepare.flow_file import FlowSettings, make_flow
from stsm_cli.prepare.flow_methods import require
from stsm_cli.prepare.transcode import DEFAULT_GOP, Encoding
from stsm_cli.printable import counted
from stsm_cli.progress import SILENT, Progress

OURS, THEIRS = "this recipe", "as MMAction2 trains it"
DRAWN, GENERATED_VIDEOS = 2, 64
BATCHES = 200  # ours: an epoch of drawn videos; workers read ahead within one, not beyond
AHEAD = 2  # batches that each process of a DataLoader reads ahead
ESTIMATED = {"hours_k400": "k400", "hours_sthv2": "sthv2"}


@dataclass(frozen=True)
class Contestant:
    """One way to train a network.

    Attributes:
        recipe: With nothing left open.
        videos: Training videos.
        is_channels_last: The layout of network and pixels; else they are contiguous.
        compile_with: Backend of `torch.compile`, or None.
    """

    recipe: Recipe
    videos: Videos
    is_channels_last: bool
    compile_with: str | None

    def loader(self, workers: int, device: torch.device) -> TrainLoader:
        """The batches of this way."""
        recipe = self.recipe
        return TrainLoader(
            self.videos,
            recipe.data,
            view=recipe.model.view,
            optim=recipe.optim,
            seed=recipe.seed,
            workers=workers,
            pin_memory=device.type == "cuda",
        )

    def stepper(self, device: torch.device) -> Stepper:
        """A new network and its optimiser; its weights do not change what a step takes."""
        torch.manual_seed(self.recipe.seed)
        model = build_model(self.recipe.model.without_start()).to(device)
        model = model.channels_last() if self.is_channels_last else model
        return Stepper(model, self.recipe, device, self.compile_with)

    def laid_out(self, part: Batch) -> Batch:
        """The part of a batch in this way's layout; loaders give channels-last."""
        if self.is_channels_last:
            return part
        return replace(part, pixels=part.pixels.contiguous())


def contestants(recipe: Recipe, videos: Videos, compile_with: str | None) -> dict[str, Contestant]:
    """The recipe, and the same network in MMAction2's way, which comes last."""
    decoder: Decoder = "decord" if "decord" in available_decoders() else "pyav"
    plain = recipe.model_copy(update={"precision": "fp32"})
    theirs = replace(videos, decoder=decoder)
    return {
        OURS: Contestant(recipe, videos, True, compile_with),
        THEIRS: Contestant(plain, theirs, False, None),
    }


def measure_training(
    ways: dict[str, Contestant],
    rounds: int,
    workers: int,
    stopwatch: Stopwatch,
    progress: Progress = SILENT,
) -> Table:
    """A table of speed, memory and the time that a whole training would take.

    Raises:
        DataError: No video of a batch decodes.
    """
    reads_ahead = workers > 0 and any(way.videos.cache is None for way in ways.values())
    warm_up = 1 + (AHEAD * workers if reads_ahead else 0)
    rows: dict[str, dict[str, float]] = {}
    with progress.bar("training", (warm_up + rounds) * len(ways)) as bar:
        for names in [[name] for name in ways] if reads_ahead else [list(ways)]:
            running = {name: _Running(ways[name], workers, stopwatch) for name in names}
            for turn in range(-warm_up, rounds):
                for name, one in running.items():
                    one.step(is_timed=turn >= 0)
                    bar.advance(1, name)
            rows |= {name: one.numbers() for name, one in running.items()}
    *_, last = rows.values()
    for row in rows.values():
        row["speedup"] = row["clips_per_second"] / last["clips_per_second"]
    device, (recipe, *_) = stopwatch.device.type, [way.recipe for way in ways.values()]
    return Table(f"training steps of {recipe.model.backbone}, {device}", rows)


class _Running:
    """A way to train, step by step, and the time that its steps take."""

    def __init__(self, way: Contestant, workers: int, stopwatch: Stopwatch) -> None:
        self.way, self.stopwatch = way, stopwatch
        self.stepper = way.stepper(stopwatch.device)
        loader = way.loader(workers, stopwatch.device)
        self.batches = chain.from_iterable(map(loader.epoch, count()))
        self.parts: list[Batch] = []
        self.clips, self.waited, self.seconds = 0, 0.0, 0.0

    def step(self, *, is_timed: bool) -> None:
        """Read and train once."""
        started, asked = self.stopwatch.now(), time.perf_counter()
        read = [next(self.batches) for _ in range(self.way.recipe.optim.accumulate)]
        waited = time.perf_counter() - asked
        self.parts = [self.way.laid_out(part) for part in read]
        clips = _step(self.stepper, self.parts)
        if is_timed:
            self.seconds += self.stopwatch.now() - started
            self.waited, self.clips = self.waited + waited, self.clips + clips

    def numbers(self) -> dict[str, float]:
        """What was found, and the memory of one more step."""
        rate = self.clips / self.seconds
        numbers = {"clips_per_second": rate, "waiting": 100 * self.waited / self.seconds}
        if self.way.compile_with is None or self.stopwatch.device.type == "cuda":
            step = partial(_step, self.stepper, self.parts)
            numbers["mb"] = peak_bytes(step, self.stopwatch.device) / 1e6
        return numbers | _hours(self.way.recipe, rate)


def _step(stepper: Stepper, parts: Sequence[Batch]) -> int:
    """One optimiser step, as `Trainer` takes it; its number of clips.

    Raises:
        DataError: No video of the batch decodes.
    """
    clips = sum(len(part.indices) for part in parts)
    if not clips:
        broken = next(message for part in parts for _, message in part.broken.values())
        raise DataError(f"no video of a batch decodes: {broken}")
    stepper.accepts(stepper.gradient(parts, clips))
    stepper.apply(lr_at(0, 1, stepper.recipe.optim))
    return clips


def _hours(recipe: Recipe, clips_per_second: float) -> dict[str, float]:
    """Hours that the recipe's epochs take over the training videos of the two data sets."""
    return {
        key: known_counts(dataset)["train"]["present"]
        * recipe.optim.epochs
        / clips_per_second
        / 3600
        for key, dataset in ESTIMATED.items()
    }


@contextmanager
def training_videos(
    recipe: Recipe, data: Path | None, decoder: Decoder, progress: Progress = SILENT
) -> Iterator[tuple[Recipe, Videos, str]]:
    """The recipe with nothing left open, videos to train it on, and what they are in words.

    The videos of `data`; else a few of the recipe's own set, if it is one that is made here; else
    a few that are drawn, each listed many times.

    Raises:
        DataError: `data` is missing, broken, or not what the recipe asks for.
        UsageError: The recipe reads flow, and OpenCV, which computes it, is not installed.
    """
    if data is not None:
        videos = _opened(recipe, data, decoder, progress)
        fitted = fit_recipe(recipe, videos.manifest).recipe
        number = counted(len(videos.manifest.records), "video")
        yield fitted, videos, f"{number} of {recipe.data.dataset}"
        return
    make = _generated if recipe.data.generated is not None else _drawn
    with TemporaryDirectory() as folder:
        yield make(recipe, Path(folder), decoder, progress)


def _opened(recipe: Recipe, root: Path, decoder: Decoder, progress: Progress) -> Videos:
    fields = recipe.model.view.flow_fields
    return open_split(
        recipe.data, root, "train", decoder=decoder, flow_fields=fields, progress=progress
    )


def _generated(
    recipe: Recipe, root: Path, decoder: Decoder, progress: Progress
) -> tuple[Recipe, Videos, str]:
    made, settings = GENERATED[recipe.data.dataset], recipe.data.generated
    assert settings is not None
    number = max(GENERATED_VIDEOS, recipe.optim.batch_size)
    few = settings.model_copy(update={"train": min(number, settings.train), "val": 1})
    made.make(root / "set", few, progress=progress)
    if recipe.model.stream == "flow":
        prepare_flow(root / "set", FlowSettings(recipe.data.flow), progress=progress)
    data = recipe.data.model_copy(update={recipe.data.dataset: few})
    recipe = recipe.model_copy(update={"data": data})
    videos = _opened(recipe, root / "set", decoder, progress)
    fitted = fit_recipe(recipe, videos.manifest).recipe
    return fitted, videos, f"{counted(few.train, 'video')} of the {made.label}"


def _drawn(
    recipe: Recipe, root: Path, decoder: Decoder, progress: Progress
) -> tuple[Recipe, Videos, str]:
    encoding = Encoding(short_side_px=HEIGHT)
    with progress.bar("drawing videos", DRAWN) as bar:
        prepared = draw_videos(root, DRAWN, encoding, lambda: bar.advance(1))["prepared"]
    classes = tuple(f"class {i}" for i in range(recipe.model.num_classes or 400))
    listed = [*prepared.records] * -(-recipe.optim.batch_size * BATCHES // DRAWN)
    manifest = Manifest(root, "train", classes, listed)
    model = recipe.model.model_copy(update={"num_classes": len(classes)})
    data = recipe.data.model_copy(update={"flip": "plain"})  # no class has a mirror image
    filled = recipe.model_copy(update={"model": model, "data": data})
    text = (
        f"{DRAWN} drawn videos of {NUM_FRAMES} frames at {WIDTH}×{HEIGHT}, "
        f"a key frame every {DEFAULT_GOP}, read again and again"
    )
    videos = Videos(manifest, recipe.data.short_side_px, decoder)
    return filled, _with_what_is_computed(filled, videos), text


def _with_what_is_computed(recipe: Recipe, videos: Videos) -> Videos:
    """The drawn videos with the flow that the recipe reads, and the motion that it follows."""
    root, records = videos.manifest.root, videos.manifest.records
    distinct = {record.path: record.num_frames for record in records}
    if recipe.model.stream == "flow":
        require(recipe.data.flow)
        for path in distinct:
            make_flow(root, FlowSettings(recipe.data.flow), path, lambda: None)
        videos = replace(videos, flow=Flow(recipe.data.flow, recipe.model.view.flow_fields))
    if recipe.data.sampling == "motion":
        curves = {path: measure(root / path, length) for path, length in distinct.items()}
        videos = replace(videos, motion=MotionCurves.of(curves[record.path] for record in records))
    return videos
