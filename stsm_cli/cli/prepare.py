"""`stsm prepare`."""

from collections.abc import Callable, Sequence
from difflib import get_close_matches
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from stsm_cli.cli import output
from stsm_cli.cli.options import Json
from stsm_cli.config.generated_sets import GeneratedConfig, GeneratedName, SynthConfig
from stsm_cli.config.schema import DatasetName
from stsm_cli.errors import UsageError

if TYPE_CHECKING:
    from stsm_cli.prepare.listing import Listing
    from stsm_cli.prepare.transcode import Encoding

REAL = ("k400", "sthv2", "folder")
MADE_HERE: tuple[str, ...] = get_args(GeneratedName)
DATASETS = (*REAL, *MADE_HERE)
DEFAULT = SynthConfig()
BELONGS: dict[str, tuple[str, ...]] = {  # whose options these are; and of a generated set its keys
    "short_side": REAL,
    "preview": MADE_HERE,
    "seed": ("folder",),
    "val_share": ("folder",),
    "download": ("k400",),
    "base_url": ("k400",),
    "jobs": ("k400",),
    "quick": REAL,
    "gop": REAL,
    "quality": REAL,
}
NEEDS = {"base_url": "download", "jobs": "download", "gop": "short_side", "quality": "short_side"}

Given = dict[str, Any]  # the options on the command line, by their parameter


def _either(names: Sequence[str]) -> str:
    return " or ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def prepare(
    dataset: Annotated[
        str,
        typer.Argument(
            metavar="DATASET",
            autocompletion=lambda: get_args(DatasetName),
            help=f"{_either([f'`{name}`' for name in DATASETS])}.",
        ),
    ],
    root: Annotated[
        Path, typer.Argument(metavar="ROOT", help="The folder of its videos, or one to fill.")
    ],
    download: Annotated[
        bool, typer.Option("--download", help="k400: fetch archives and lists first.")
    ] = False,
    base_url: Annotated[
        str | None,
        typer.Option("--base-url", metavar="URL", help="k400: a mirror.", show_default=False),
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option("--jobs", min=1, help="k400: downloads at a time; default 4."),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Decode only the ends and the middle of each video.")
    ] = False,
    short_side: Annotated[
        int | None,
        typer.Option(
            "--short-side",
            metavar="PX",
            help="Also make smaller videos that are quick to read, and use these: 256 is what "
            f"training reads. synth: the height to render; default {DEFAULT.short_side_px}.",
        ),
    ] = None,
    gop: Annotated[
        int | None,
        typer.Option("--gop", min=1, help="With --short-side: a key frame every so many; 16."),
    ] = None,
    quality: Annotated[
        int | None,
        typer.Option(
            "--quality", min=0, max=51, help="With --short-side: x264's CRF, less is better; 20."
        ),
    ] = None,
    val_share: Annotated[
        float | None,
        typer.Option(
            "--val-share",
            help="folder: share of each class to validate on, rounded, at least one video, "
            "where no split is; 0.2.",
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", help="folder: of that split. synth: of the videos. 0.")
    ] = None,
    train: Annotated[
        int | None, typer.Option("--train", help=f"synth: training videos; {DEFAULT.train}.")
    ] = None,
    val: Annotated[
        int | None, typer.Option("--val", help=f"synth: validation videos; {DEFAULT.val}.")
    ] = None,
    frames: Annotated[
        int | None, typer.Option("--frames", help=f"synth: frames a video; {DEFAULT.frames}.")
    ] = None,
    difficulty: Annotated[
        float | None,
        typer.Option(
            "--difficulty",
            help=f"synth: clutter, distractors, camera motion, noise: 0 to 1; "
            f"{DEFAULT.difficulty}.",
        ),
    ] = None,
    preview: Annotated[
        Path | None,
        typer.Option(
            "--preview", metavar="FILE.png", help="synth: first draw a video of every class."
        ),
    ] = None,
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, help="Processes; default one a CPU.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Make a data set ready: find its videos, decode each, list in ROOT/manifest what can be used.

    What is done is kept, so an interrupted command is continued by running it again. Originals are
    never changed. k400 and sthv2 take archives, unpacked folders and the lists of other projects;
    folder takes CLASS/*.mp4, with train/ and val/ above it or not, or train.csv and val.csv.

    Examples:
      stsm prepare k400 /data/k400 --download --short-side 256
      stsm prepare sthv2 /data/sthv2
      stsm prepare folder my_videos --val-share 0.1 --quick
      stsm prepare synth data/tiny --train 32 --val 16 --short-side 32 --preview tiny.png
    """
    given = {
        "download": download or None,
        "base_url": base_url,
        "jobs": jobs,
        "quick": quick or None,
        "short_side": short_side,
        "gop": gop,
        "quality": quality,
        "val_share": val_share,
        "seed": seed,
        "train": train,
        "val": val,
        "frames": frames,
        "difficulty": difficulty,
        "preview": preview,
    }
    given = {key: value for key, value in given.items() if value is not None}
    _check(dataset, given)
    if dataset in MADE_HERE:
        _make(dataset, root, given, workers, as_json)
    else:
        _prepare_real(dataset, root, given, workers, as_json)


def _check(dataset: str, given: Given) -> None:
    """Refuse options that mean nothing here: who gave them expects something else."""
    if dataset not in DATASETS:
        near = get_close_matches(dataset, DATASETS, 1)
        hint = f"did you mean {near[0]}?" if near else None
        raise UsageError(f"DATASET: must be {_either(DATASETS)}, got {dataset!r}", hint=hint)
    problems = [
        f"{_option(key)}: is for {_either(owners)}, not {dataset}"
        for key in given
        if dataset not in (owners := _owners(key))
    ] or [
        f"{_option(key)}: means nothing without {_option(other)}"
        for key, other in NEEDS.items()
        if key in given and other not in given
    ]
    if problems:
        raise UsageError("\n".join(problems))


def _owners(key: str) -> list[str]:
    """The data sets that have an option."""
    from stsm_cli.data.generated import GENERATED

    made_here = [name for name, made in GENERATED.items() if key in _settings(made.settings)]
    return [*made_here, *BELONGS.get(key, ())]


def _settings(section: type[GeneratedConfig]) -> dict[str, str]:
    """The keys of a generated set's settings, by the option that each is."""
    return {key.removesuffix("_px"): key for key in section.model_fields}


def _make(dataset: str, root: Path, given: Given, workers: int | None, as_json: bool) -> None:
    from stsm_cli.data.catalog import load_card
    from stsm_cli.data.generated import GENERATED

    made = GENERATED[dataset]
    settings = _chosen(made.settings, given)
    console = output.current()
    if "preview" in given:
        made.preview(given["preview"], settings)
        console.message(f"contact sheet {given['preview']}")
    report = made.make(root, settings, workers=workers, progress=console)
    if as_json:
        console.json(report | {"root": str(root)})
    else:
        rows = [[split, str(count)] for split, count in report["videos"].items()]
        notes = [
            f"{report['made']} videos made in {report['seconds']} s, "
            f"{report['bytes'] / 1e6:.0f} MB",
            _closing(root),
            *_edits(dataset, settings),
        ]
        console.table(load_card(dataset).title, ["split", "videos"], rows, notes=notes)


def _edits(dataset: str, settings: GeneratedConfig) -> list[str]:
    """What makes a recipe ask for this set, where it is not the one that recipes have."""
    edits = [
        f"--set data.{dataset}.{key}={value}"
        for key, value in settings.model_dump(mode="json", exclude_defaults=True).items()
    ]
    return [f"and with it `{' '.join(edits)}`"] if edits else []


def _chosen(section: type[GeneratedConfig], given: Given) -> GeneratedConfig:
    keys = _settings(section)
    values = {keys[option]: value for option, value in given.items() if option in keys}
    try:
        return section.model_validate(values)
    except ValidationError as error:
        raise UsageError("\n".join(_problem(item) for item in error.errors())) from None


def _problem(item: ErrorDetails) -> str:
    key = str(item["loc"][0]).removesuffix("_px")
    rule = item["msg"].removeprefix("Input should be ")
    return f"{_option(key)}: must be {rule}, got {item['input']}"


def _prepare_real(
    dataset: str, root: Path, given: Given, workers: int | None, as_json: bool
) -> None:
    encoding = _encoding(given)
    from stsm_cli.prepare.prepare import check_usable, prepare_listing
    from stsm_cli.prepare.report import COLUMNS, rows, sentences, title

    console = output.current()
    listing = LISTERS[dataset](root, given)
    report = prepare_listing(
        listing,
        dataset=dataset,
        quick="quick" in given,
        encoding=encoding,
        workers=workers,
        progress=console,
    )
    if as_json:
        console.json(report | {"root": str(root)})
    else:
        console.table(title(report), COLUMNS, rows(report), notes=sentences(report))
    check_usable(report)
    if not as_json:
        console.text(_closing(root))


def _list_k400(root: Path, given: Given) -> "Listing":
    from stsm_cli.prepare.k400 import list_k400
    from stsm_cli.prepare.k400_archives import download_k400

    console = output.current()
    if "download" in given:
        options = {key: given[key] for key in ("base_url", "jobs") if key in given}
        download_k400(root, **options, progress=console)
    return list_k400(root, progress=console)


def _list_sthv2(root: Path, given: Given) -> "Listing":
    from stsm_cli.prepare.sthv2 import list_sthv2

    return list_sthv2(root, progress=output.current())


def _list_folder(root: Path, given: Given) -> "Listing":
    from stsm_cli.prepare.folder import list_folder

    if not 0 < given.get("val_share", 0.5) < 1:
        raise UsageError(f"--val-share: must be between 0 and 1, got {given['val_share']:g}")
    split = {key: given[key] for key in ("val_share", "seed") if key in given}
    return list_folder(root, **split, progress=output.current())


LISTERS: "dict[str, Callable[[Path, Given], Listing]]" = {
    "k400": _list_k400,
    "sthv2": _list_sthv2,
    "folder": _list_folder,
}
"""The data set as it lies there, after fetching and unpacking what is to be; all of `REAL`."""


def _encoding(given: Given) -> "Encoding | None":
    if "short_side" not in given:
        return None
    side = given["short_side"]
    if side < 16 or side % 2:
        raise UsageError(f"--short-side: must be an even number from 16 on, got {side}")
    if "quick" in given:
        raise UsageError("--quick: means nothing with --short-side, which decodes every video")
    from stsm_cli.prepare.transcode import Encoding

    values = {"gop": given.get("gop"), "crf": given.get("quality")}
    return Encoding(side, **{key: value for key, value in values.items() if value is not None})


def _option(key: str) -> str:
    return f"--{key.replace('_', '-')}"


def _closing(root: Path) -> str:
    return f"data set {root}, for `--data {quote(str(root))}`"
