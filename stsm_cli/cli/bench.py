"""`stsm bench`."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from stsm_cli.allocator import keep_freed_memory
from stsm_cli.atomic import may_replace, write_file
from stsm_cli.cli import output
from stsm_cli.cli.options import DecoderName, Device, Json, Overrides, Workers
from stsm_cli.cli.recipes import complete_recipe
from stsm_cli.config.kinds import MAX_FRAMES, MAX_PX
from stsm_cli.errors import UsageError
from stsm_cli.printable import command_line, counted

if TYPE_CHECKING:
    from stsm_cli.bench.measured_code import Benchmark
    from stsm_cli.bench.record import Begun, Measurement, Table
    from stsm_cli.bench.turns import Stopwatch

SPEED = Path("results") / "speed"
PAGE = "README.md"
LAYOUTS = ("contiguous", "channels-last")
UNFINISHED = "stopped before its end: tables may be missing"

Rounds = Annotated[int, typer.Option("--rounds", min=1, help="Turns of each variant.")]
CpuTime = Annotated[
    bool,
    typer.Option(
        "--cpu-time", help="Count CPU time of all threads: for a machine that is not idle."
    ),
]
Save = Annotated[
    Path | None,
    typer.Option(
        "--save",
        metavar="DIR",
        help=f"Keep the JSON there, in place of the last of its kind; {SPEED} is the page's.",
        show_default=False,
    ),
]


def bench() -> None:
    """Measure speed and memory: shift, reading, training, streams.

    Variants take turns in one process; ratios of times are medians. `STSM_ALLOCATOR=off` in the
    environment leaves the C library's memory allocator as it is.
    """


def shift(
    rounds: Rounds = 15,
    device: Device = "auto",
    compiled: Annotated[
        bool, typer.Option("--compile", help="Through `torch.compile`, not eagerly.")
    ] = False,
    layout: Annotated[
        Literal["contiguous", "channels-last"] | None,
        typer.Option("--layout", help="Only this one; default both.", show_default=False),
    ] = None,
    frames: Annotated[
        int, typer.Option("--frames", min=2, max=MAX_FRAMES, help="Frames a video.")
    ] = 8,
    size: Annotated[
        int, typer.Option("--size", min=32, max=MAX_PX, help="Side of a frame in pixels.")
    ] = 224,
    cpu_time: CpuTime = False,
    save: Save = None,
    as_json: Json = False,
) -> None:
    """Measure ResNet-50 as TSN, TSM, STSM: forward, training, memory.

    TSM's shift is also measured as its authors write it.

    Examples:
      stsm bench shift
      stsm bench shift --compile --layout channels-last --rounds 5
      stsm bench shift --device cuda --save results/speed
    """
    begun, stopwatch = _begin("shift", device, save, rounds, cpu_time=cpu_time)
    from stsm_cli.bench.shift import ShiftCase, measure_shift

    layouts = LAYOUTS if layout is None else (layout,)
    settings = {"compiled": compiled, "layouts": list(layouts), "frames": frames, "size_px": size}
    report = _Report(begun, settings, (), save, as_json)
    for name in layouts:
        case = ShiftCase(stopwatch.device, name, compiled, frames, size)
        for table in measure_shift(case, rounds, stopwatch, output.current()):
            report.add(table)
    report.end()


def reading(
    rounds: Rounds = 15,
    device: Device = "cpu",
    videos: Annotated[int, typer.Option("--videos", min=1, help="Videos to draw.")] = 3,
    gop: Annotated[
        int,
        typer.Option(
            "--gop", min=1, help="Frames from a key frame to the next, in the prepared videos."
        ),
    ] = 16,
    cpu_time: CpuTime = False,
    save: Save = None,
    as_json: Json = False,
) -> None:
    """Measure how samples are read, by PyAV and by decord.

    A training sample and a test, against bare decord. It draws videos of ten seconds at 340×256 and
    prepares them as `stsm prepare` does.

    Examples:
      stsm bench reading
      stsm bench reading --cpu-time --rounds 31
    """
    if device != "cpu":
        raise UsageError(f"--device {device}: videos are read by the CPU", hint="use cpu")
    begun, stopwatch = _begin("reading", device, save, rounds, cpu_time=cpu_time)
    from stsm_cli.bench.drawn import HEIGHT, draw_videos, kilobits
    from stsm_cli.bench.reading import measure_reading, require_decord
    from stsm_cli.prepare.transcode import Encoding

    require_decord()
    with TemporaryDirectory() as folder:
        encoding = Encoding(short_side_px=HEIGHT, gop=gop)
        with output.current().bar("drawing videos", videos) as bar:
            made = draw_videos(Path(folder), videos, encoding, lambda: bar.advance(1))
        notes = [f"{kind}: {kilobits(manifest):.0f} kbit/s" for kind, manifest in made.items()]
        report = _Report(begun, {"videos": videos, "gop": gop}, notes, save, as_json)
        for table in measure_reading(made, rounds, stopwatch, output.current()):
            report.add(table)
    report.end()


def train(
    recipe: Annotated[
        str,
        typer.Argument(
            metavar="RECIPE", autocompletion=complete_recipe, help="A recipe's name or file."
        ),
    ],
    overrides: Overrides = None,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            metavar="ROOT",
            help="The prepared data set's folder; default a few videos that are drawn.",
            show_default=False,
        ),
    ] = None,
    rounds: Annotated[
        int, typer.Option("--rounds", min=1, help="Optimiser steps that are timed.")
    ] = 20,
    device: Device = "auto",
    compiled: Annotated[
        bool, typer.Option("--compile", help="Train through `torch.compile`.")
    ] = False,
    workers: Workers = None,
    decoder: DecoderName = None,
    save: Save = None,
    as_json: Json = False,
) -> None:
    """Measure a recipe's training, and estimate its hours on real data.

    The hours are those of its epochs over the videos of Kinetics-400 and Something-Something V2.

    Beside it the same network is trained as MMAction2 does: float32, contiguous, eager, decord.
    Without --data it trains on a few videos that are made for it.

    Examples:
      stsm bench train k400/stsm_r50_8f --set precision=bf16 --compile
      stsm bench train sthv2/stsm_r50_8f --data /data/sthv2 --rounds 50
    """
    from stsm_cli.config.load import load_recipe

    loaded = load_recipe(recipe, overrides or [])
    begun, stopwatch = _begin("train", device, save, rounds, decoder=decoder)
    from stsm_cli.bench.train import THEIRS, contestants, measure_training, training_videos
    from stsm_cli.data.decode import choose_decoder
    from stsm_cli.engine.device import choose_workers
    from stsm_cli.engine.opening import check_precision

    check_precision(loaded.recipe, stopwatch.device)
    number = choose_workers(workers)
    with ExitStack() as held:
        config, videos, text = held.enter_context(
            training_videos(loaded.recipe, data, choose_decoder(decoder), output.current())
        )
        ways = contestants(config, videos, "inductor" if compiled else None)
        table = measure_training(ways, rounds, number, stopwatch, output.current())
    who = counted(number, "process", "processes") if number else "the process that trains"
    reader = f"read by {who}, with {videos.decoder} for the recipe"
    notes = [
        f"measured on {text}, {'in memory' if videos.cache is not None else reader}",
        f"{config.precision}, batch {config.optim.batch_size} in "
        f"{counted(config.optim.accumulate, 'part')}; hours are of "
        f"{counted(config.optim.epochs, 'epoch')} of such clips, without validation",
    ]
    if (decoder := ways[THEIRS].videos.decoder) != "decord":
        notes.append(f"no decord here: {THEIRS} it is read with {decoder}")
    settings: dict[str, Any] = {"recipe": loaded.title, "compiled": compiled, "workers": number}
    report = _Report(begun, settings | {"videos": text}, notes, save, as_json)
    report.add(table)
    report.end()


def stream(
    recipe: Annotated[
        str,
        typer.Argument(
            metavar="RECIPE", autocompletion=complete_recipe, help="A recipe's name or file."
        ),
    ] = "order/stsm_causal",
    overrides: Overrides = None,
    rounds: Annotated[int, typer.Option("--rounds", min=1, help="Frames that are timed.")] = 50,
    device: Device = "auto",
    cpu_time: CpuTime = False,
    save: Save = None,
    as_json: Json = False,
) -> None:
    """Measure a frame of a stream: one by one, and by a sliding window.

    Frames are looked at one by one where a network's shift along time looks at the past alone;
    beside it all frames of the window are computed anew for each that comes.

    Examples:
      stsm bench stream
      stsm bench stream k400/stsm_r50_8f --set model.shift.dims=T-+H+W
    """
    from stsm_cli.config.load import load_recipe

    loaded = load_recipe(recipe, overrides or [])
    begun, stopwatch = _begin("stream", device, save, rounds, cpu_time=cpu_time)
    from stsm_cli.bench.stream import measure_stream

    table = measure_stream(loaded.recipe, rounds, stopwatch, output.current())
    notes = [f"{loaded.title}, untrained, in fp32, frames of {loaded.recipe.test.crop_px} pixels"]
    report = _Report(begun, {"recipe": loaded.title}, notes, save, as_json)
    report.add(table)
    report.end()


def page(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="The folder of the JSON files.")
    ] = SPEED,
    as_json: Json = False,
) -> None:
    """Make the page of each machine's last figures.

    It is made from what `--save` kept. Figures of code that has changed since are not shown.

    Examples:
      stsm bench page
    """
    from stsm_cli.bench.page import HEAD, render
    from stsm_cli.bench.record import read_all

    if folder.is_file():
        raise UsageError(f"{folder}: is a file, not a folder")
    if not may_replace(folder / PAGE, HEAD.partition("`")[0]):
        raise UsageError(f"{folder / PAGE}: is no page of `stsm bench page`, and stays")
    if not (measurements := read_all(folder)):
        raise UsageError(
            f"{folder}: holds no measurement",
            hint=f"`{command_line('bench', 'shift', '--save', folder)}` makes one",
        )
    write_file(folder / PAGE, render(measurements).encode())
    if as_json:
        output.current().json({"schema": "stsm.bench_page/1", "written": [str(folder / PAGE)]})
        return
    output.current().text(str(folder / PAGE))


def _begin(
    benchmark: "Benchmark",
    device: str,
    folder: Path | None,
    rounds: int,
    *,
    cpu_time: bool = False,
    decoder: str | None = None,
) -> "tuple[Begun, Stopwatch]":
    """What is known before the machine is put to work, and the clock.

    Raises:
        UsageError: The device, the decoder, the clock or the folder is none.
    """
    from stsm_cli.data.decode import choose_decoder
    from stsm_cli.engine.device import check_device, choose_device

    check_device(device)
    reader = choose_decoder(decoder)
    keeps_memory = keep_freed_memory()
    where = choose_device(device)
    if cpu_time and where.type != "cpu":
        raise UsageError(f"--cpu-time: counts no time of {where.type}", hint="use --device cpu")
    from stsm_cli.bench.record import Begun
    from stsm_cli.bench.turns import Stopwatch
    from stsm_cli.engine.saved_files import check_file

    if folder is not None:
        check_file("--save", folder / f"{benchmark}.json")  # told before it is measured
    begun = Begun(
        benchmark,
        where,
        reader,
        rounds=rounds,
        is_cpu_time=cpu_time,
        keeps_memory=keeps_memory,
    )
    return begun, Stopwatch(where, cpu_time)


@dataclass
class _Report:
    """Figures as they come: each table is printed, and kept, as soon as it is measured."""

    begun: "Begun"
    settings: Mapping[str, Any]
    notes: Sequence[str]
    folder: Path | None
    as_json: bool
    tables: list["Table"] = field(default_factory=list)

    def add(self, table: "Table") -> None:
        """Take a table."""
        from stsm_cli.bench.page import table_rows
        from stsm_cli.bench.record import save

        self.tables.append(table)
        if self.folder is not None:
            save(self.folder, self._measured(UNFINISHED), is_whole=False)
        if not self.as_json:
            output.current().table(table.title, *table_rows(table))
            output.current().text("")

    def end(self) -> None:
        """Print what all was measured on."""
        from pydantic_core import to_jsonable_python

        from stsm_cli.bench.page import caption, machine_name
        from stsm_cli.bench.record import save

        measured = self._measured()
        if self.folder is not None:
            save(self.folder, measured)
            output.current().message(f"kept as {self.folder / measured.file_name}")
        if self.as_json:
            output.current().json(to_jsonable_python(measured))
            return
        for line in (*self.notes, machine_name(measured.machine), caption(measured)):
            output.current().text(line)

    def _measured(self, *notes: str) -> "Measurement":
        return self.begun.measured(self.tables, self.settings, (*self.notes, *notes))
