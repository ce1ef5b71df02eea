"""`stsm prepare`: a command for each data set; that for optical flow is in `prepare_flow.py`."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from difflib import get_close_matches
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer
from typer.core import TyperGroup

from stsm_cli.cli import output
from stsm_cli.cli.options import Json, Processes, Root
from stsm_cli.cli.prepare_generated import closing, generated, option_name
from stsm_cli.config.generated_sets import GeneratedName
from stsm_cli.errors import UsageError
from stsm_cli.printable import either

if TYPE_CHECKING:
    from stsm_cli.prepare.listing import Listing
    from stsm_cli.prepare.transcode import Encoding

Quick = Annotated[
    bool, typer.Option("--quick", help="Decode only the ends and the middle of each video.")
]
OfficialSplit = Annotated[
    int, typer.Option("--split", min=1, max=3, help="Which of the three official splits.")
]
WithMotion = Annotated[
    bool,
    typer.Option(
        "--motion",
        help="Also measure the motion of usable videos, which data.sampling=motion follows; else "
        "the first training does.",
    ),
]
ShortSide = Annotated[
    int | None,
    typer.Option(
        "--short-side",
        metavar="PX",
        help="Also make smaller videos that are quick to read, and use these: 256 is what "
        "training reads.",
    ),
]
Gop = Annotated[
    int | None,
    typer.Option("--gop", min=1, help="With --short-side: a key frame every so many; 16."),
]
Quality = Annotated[
    int | None,
    typer.Option(
        "--quality", min=0, max=51, help="With --short-side: x264's CRF, less is better; 20."
    ),
]


class DataSets(TyperGroup):
    """The data sets as commands; an option of another one is refused, with its owners named."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401
        """Options that stand before the data set are its own, too."""
        place = self._behind_options(args)
        if place < len(args):
            args = [args[place], *args[:place], *args[place + 1 :]]
        return super().parse_args(ctx, args)

    def _behind_options(self, words: Sequence[str]) -> int:
        """The place of the first word that is neither an option nor its value."""
        options = [one for command in self.commands.values() for one in command.params]
        with_value = {
            name
            for option in options
            if not (getattr(option, "is_flag", False) or getattr(option, "count", False))
            for name in option.opts
        }
        place = 0
        while place < len(words) and words[place].startswith("-"):
            place += 2 if words[place] in with_value else 1
        return place

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:  # noqa: ANN401
        """The command of a data set, if all options are its own."""
        if not ctx.resilient_parsing:  # where a shell asks how a word goes on, nothing is refused
            self._check_name(args[0])
            self._check_options(args[0], list(takewhile(lambda word: word != "--", args[1:])))
        return super().resolve_command(ctx, args)

    def _check_name(self, dataset: str) -> None:
        if dataset not in self.commands:
            near = get_close_matches(dataset, self.commands, 1)
            hint = f"did you mean {near[0]}?" if near else None
            names = either(list(self.commands))
            raise UsageError(f"DATASET: must be {names}, got {dataset!r}", hint=hint)

    def _check_options(self, dataset: str, words: Sequence[str]) -> None:
        """Refuse options that mean nothing here: who gave them expects something else."""
        given = {word.partition("=")[0] for word in words}
        problems = [
            f"{option}: is for {either(owners)}, not {dataset}"
            for option, owners in self._owners().items()
            if option in given and dataset not in owners
        ]
        if problems:
            raise UsageError("\n".join(problems))

    def _owners(self) -> dict[str, list[str]]:
        """The data sets that have an option."""
        owners: dict[str, list[str]] = {}
        for name, command in self.commands.items():
            for parameter in command.params:
                for option in parameter.opts:
                    owners.setdefault(option, []).append(name)
        return owners


def prepare(context: typer.Context) -> None:
    """Make a data set ready: find its videos and decode each.

    The usable ones are noted in ROOT/manifest. What is done is kept, so an interrupted command is
    continued by running it again. Originals are never changed. `stsm prepare DATASET --help` has
    the options of a data set.

    Examples:
      stsm prepare k400 /data/k400 --download --short-side 256
      stsm prepare sthv2 /data/sthv2
      stsm prepare ucf101 /data/ucf101 --split 2
      stsm prepare hmdb51 /data/hmdb51
      stsm prepare folder my_videos --val-share 0.1 --quick
      stsm prepare synth data/tiny-synth --train 48 --val 24 --preview tiny.png
      stsm prepare scenes data/scenes --preview scenes.png
      stsm prepare order data/order-1 --draw 1
      stsm prepare flow my_videos
    """
    if context.invoked_subcommand is None:
        context.fail("Missing argument 'DATASET'.")


def k400(
    root: Root,
    download: Annotated[
        bool, typer.Option("--download", help="Fetch archives and lists first.")
    ] = False,
    base_url: Annotated[
        str | None, typer.Option("--base-url", metavar="URL", help="With --download: a mirror.")
    ] = None,
    jobs: Annotated[
        int | None, typer.Option("--jobs", min=1, help="With --download: files at a time; 4.")
    ] = None,
    quick: Quick = False,
    short_side: ShortSide = None,
    gop: Gop = None,
    quality: Quality = None,
    motion: WithMotion = False,
    workers: Processes = None,
    as_json: Json = False,
) -> None:
    """Make Kinetics-400 ready, or fetch it first.

    It takes archives, unpacked folders and the lists of other projects.

    Examples:
      stsm prepare k400 /data/k400
      stsm prepare k400 /data/k400 --download --short-side 256
    """
    if not download:
        _refuse("without --download", base_url=base_url, jobs=jobs)
    encoding = _encoding(quick, short_side, gop, quality)
    from stsm_cli.prepare.k400 import list_k400
    from stsm_cli.prepare.k400_archives import download_k400

    console = output.current()
    with alone(root, is_there=download or root.is_dir()):
        if download:
            download_k400(root, **_given(base_url=base_url, jobs=jobs), progress=console)
        listing = list_k400(root, progress=console)
        _prepare("k400", listing, quick, encoding, motion, workers, as_json)


def sthv2(
    root: Root,
    quick: Quick = False,
    short_side: ShortSide = None,
    gop: Gop = None,
    quality: Quality = None,
    motion: WithMotion = False,
    workers: Processes = None,
    as_json: Json = False,
) -> None:
    """Make Something-Something V2 ready.

    It takes the parts of the archive, or its unpacked videos, and the JSON files.

    Examples:
      stsm prepare sthv2 /data/sthv2
      stsm prepare sthv2 /data/sthv2 --short-side 256
    """
    encoding = _encoding(quick, short_side, gop, quality)
    from stsm_cli.prepare.sthv2 import list_sthv2

    with alone(root, is_there=root.is_dir()):
        listing = list_sthv2(root, progress=output.current())
        _prepare("sthv2", listing, quick, encoding, motion, workers, as_json)


def ucf101(
    root: Root,
    split: OfficialSplit = 1,
    quick: Quick = False,
    short_side: ShortSide = None,
    gop: Gop = None,
    quality: Quality = None,
    motion: WithMotion = False,
    workers: Processes = None,
    as_json: Json = False,
) -> None:
    """Make UCF101 ready, by an official split.

    It takes UCF-101/CLASS/*.avi and the lists of ucfTrainTestlist/. The test part is `val`.

    Examples:
      stsm prepare ucf101 /data/ucf101
      stsm prepare ucf101 /data/ucf101 --split 2
    """
    encoding = _encoding(quick, short_side, gop, quality)
    from stsm_cli.prepare.official_sets import UCF101, list_official

    with alone(root, is_there=root.is_dir()):
        listing = list_official(root, UCF101, split=split, progress=output.current())
        _prepare("ucf101", listing, quick, encoding, motion, workers, as_json)


def hmdb51(
    root: Root,
    split: OfficialSplit = 1,
    quick: Quick = False,
    short_side: ShortSide = None,
    gop: Gop = None,
    quality: Quality = None,
    motion: WithMotion = False,
    workers: Processes = None,
    as_json: Json = False,
) -> None:
    """Make HMDB51 ready, by an official split.

    It takes CLASS/*.avi and the lists of testTrainMulti_7030_splits/. The test part is `val`.

    Examples:
      stsm prepare hmdb51 /data/hmdb51
      stsm prepare hmdb51 /data/hmdb51 --split 2
    """
    encoding = _encoding(quick, short_side, gop, quality)
    from stsm_cli.prepare.official_sets import HMDB51, list_official

    with alone(root, is_there=root.is_dir()):
        listing = list_official(root, HMDB51, split=split, progress=output.current())
        _prepare("hmdb51", listing, quick, encoding, motion, workers, as_json)


def folder(
    root: Root,
    val_share: Annotated[
        float | None,
        typer.Option(
            "--val-share",
            help="Share of each class to validate on, rounded, at least one video, "
            "where no split is; 0.2.",
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Seed of that split; 0.")] = None,
    quick: Quick = False,
    short_side: ShortSide = None,
    gop: Gop = None,
    quality: Quality = None,
    motion: WithMotion = False,
    workers: Processes = None,
    as_json: Json = False,
) -> None:
    """Make videos of your own ready.

    It takes CLASS/*.mp4, with train/ and val/ above it or not, or train.csv and val.csv.

    Examples:
      stsm prepare folder my_videos
      stsm prepare folder my_videos --val-share 0.1 --quick
    """
    encoding = _encoding(quick, short_side, gop, quality)
    if val_share is not None and not 0 < val_share < 1:
        raise UsageError(f"--val-share: must be between 0 and 1, got {val_share:g}")
    from stsm_cli.prepare.folder import list_folder

    split = _given(val_share=val_share, seed=seed)
    with alone(root, is_there=root.is_dir()):
        listing = list_folder(root, **split, progress=output.current())
        if listing.draw is None:
            _refuse(f"where there is a split ({listing.notes[0]})", **split)
        _prepare("folder", listing, quick, encoding, motion, workers, as_json)


def alone(
    folder: Path, *, is_there: bool, doing: str = "preparing"
) -> AbstractContextManager[object]:
    """A block that no other `stsm prepare` is in for the same folder.

    Where the file system knows no locks, none is kept out. Two would write into each other's
    half-made files. A root that is not there is not made: that it is missing is the error to tell.
    """
    from stsm_cli.engine.lock import alone_in

    return alone_in(folder, doing=doing, option="ROOT") if is_there else nullcontext()


def _given(**options: Any) -> dict[str, Any]:  # noqa: ANN401
    """The options on the command line; defaults are those of the functions that are called."""
    return {key: value for key, value in options.items() if value is not None}


def _refuse(where: str, **options: object) -> None:
    """Refuse options that mean nothing there, such as `without` another one."""
    problems = [f"{option_name(key)}: means nothing {where}" for key in _given(**options)]
    if problems:
        raise UsageError("\n".join(problems))


def _encoding(
    quick: bool, short_side: int | None, gop: int | None, quality: int | None
) -> "Encoding | None":
    if short_side is None:
        _refuse("without --short-side", gop=gop, quality=quality)
        return None
    if short_side < 16 or short_side % 2:
        raise UsageError(f"--short-side: must be an even number from 16 on, got {short_side}")
    if quick:
        raise UsageError("--quick: means nothing with --short-side, which decodes every video")
    from stsm_cli.prepare.transcode import Encoding

    return Encoding(short_side, **_given(gop=gop, crf=quality))


def _prepare(
    dataset: str,
    listing: "Listing",
    quick: bool,
    encoding: "Encoding | None",
    motion: bool,
    workers: int | None,
    as_json: bool,
) -> None:
    from stsm_cli.prepare.findings import COLUMNS, rows, sentences, title
    from stsm_cli.prepare.usable import check_usable, measure_motion, prepare_listing

    console = output.current()
    report = prepare_listing(
        listing,
        dataset=dataset,
        quick=quick,
        encoding=encoding,
        motion=motion,
        workers=workers,
        progress=console,
    )
    if as_json:
        console.json(report | {"root": str(listing.root)})
    else:
        console.table(title(report), COLUMNS, rows(report), notes=sentences(report))
    check_usable(report)
    if motion:
        measured = report["motion_measured"]
        told = measure_motion(listing.root, measured, workers=workers, progress=console)
        console.message(told)
    if not as_json:
        console.text(closing(listing.root))


COMMANDS: dict[str, Callable[..., None]] = {
    "k400": k400,
    "sthv2": sthv2,
    "ucf101": ucf101,
    "hmdb51": hmdb51,
    "folder": folder,
    **{name: generated(name) for name in get_args(GeneratedName)},
}
"""Every `DatasetName` of the schema."""
