"""`stsm flops`."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from difflib import get_close_matches
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from stsm_cli.cli import output
from stsm_cli.cli.options import Data, Json
from stsm_cli.config.kinds import MAX_CLASSES, MAX_FRAMES, MAX_PX
from stsm_cli.config.notation import parse_alpha, parse_dims
from stsm_cli.config.schema import (
    Backbone,
    FrameBackbone,
    ModelConfig,
    Recipe,
    ShiftConfig,
    SmallBackbone,
    System,
)
from stsm_cli.errors import UsageError
from stsm_cli.printable import counted

if TYPE_CHECKING:
    from stsm_cli.analysis.cost import Cost, ShiftSite
    from stsm_cli.analysis.paper_cost import Comparison
    from stsm_cli.analysis.printed_cost import PaperCost

R50_NL = "r50-nl"
SHORT_NAMES: dict[str, Backbone] = {
    "r18": "resnet18",
    "r34": "resnet34",
    "r50": "resnet50",
    R50_NL: "resnet50",
    "r101": "resnet101",
    "r152": "resnet152",
    "mbv2": "mobilenet_v2",
}
BACKBONES = SHORT_NAMES | {name: name for name in get_args(Backbone)}
TSM = ShiftConfig(dims="T", alpha=Fraction(1, 4))
STSM = ShiftConfig()
DEFAULT_CLASSES = 400
MAX_VIEWS = 1_000_000
CEILING_NOTE = "the most that a view can cost: time steps that it does not need are dropped"
CEILING: tuple[System, ...] = ("atfr",)
"""Systems that compute less where a view lets them: what is counted is the most."""
NETWORK_KEYS = ("backbone", "system", "non_local", "num_frames", "num_classes")
"""What a comparison with the paper says of the network, or of the first of two."""


def _complete() -> list[str]:
    from stsm_cli.config.load import recipe_names

    return [*BACKBONES, *recipe_names()]


def flops(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            autocompletion=_complete,
            help=f"{', '.join(SHORT_NAMES)}, a torchvision ResNet, or a recipe's name or file.",
        ),
    ],
    frames: Annotated[
        int | None, typer.Option("--frames", help="Frames a view; default 8.", show_default=False)
    ] = None,
    size: Annotated[
        int | None,
        typer.Option("--size", help="Side of a view in pixels; default 224.", show_default=False),
    ] = None,
    classes: Annotated[
        int | None, typer.Option("--classes", help="Classes; default 400.", show_default=False)
    ] = None,
    shift: Annotated[
        str | None,
        typer.Option(
            "--shift", metavar="DIMS", help="STSM's dims; default T+H+W.", show_default=False
        ),
    ] = None,
    alpha: Annotated[
        str | None,
        typer.Option("--alpha", help="STSM's fraction of channels; 3/8.", show_default=False),
    ] = None,
    views: Annotated[
        int | None,
        typer.Option(
            "--views",
            help="Views a video in the test: clips × crops; default 30.",
            show_default=False,
        ),
    ] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            "--checkpoint",
            metavar="FILE",
            help="Weights with which views of real videos are counted, too, and their mean told: "
            "where the cost depends on the video.",
            show_default=False,
        ),
    ] = None,
    data: Data = None,
    videos: Annotated[
        int | None,
        typer.Option(
            "--videos",
            min=1,
            help="With --checkpoint: validation videos; 20.",
            show_default=False,
        ),
    ] = None,
    per_layer: Annotated[bool, typer.Option("--per-layer", help="Show each layer too.")] = False,
    as_json: Json = False,
) -> None:
    """Count a network's multiply-adds and parameters, beside the paper's figures.

    A recipe brings its own defaults: its frames, classes and shift, and the crop and views of its
    test.

    Examples:
      stsm flops r50
      stsm flops k400/stsm_r50_8f
      stsm flops mbv2 --frames 16 --classes 174 --views 6 --json
    """
    recipe = _recipe(model)
    _check_mean(model, recipe, checkpoint, data, videos)
    question = _question(model, recipe, frames, size, classes, views)
    question = replace(question, asked=_asked(question, shift, alpha))
    answer = _counted(question)
    if checkpoint is not None:
        own = recipe.model_copy(update={"model": question.network})
        sampled = _mean_macs(own, checkpoint, data, num_videos=videos or 20, size_px=question.size)
        answer = replace(answer, mean=sampled)
    if as_json:
        output.current().json(_record(question, answer, per_layer))
    else:
        _print(question, answer, per_layer)


@dataclass(frozen=True)
class _Question:
    """A network to be counted.

    Attributes:
        model: As it was asked for.
        network: With its own shift, if it has one.
        size: Side of a view in pixels.
        views: Of a video.
        asked: The shift of STSM's row.
    """

    model: str
    network: ModelConfig
    size: int
    views: int
    asked: ShiftConfig = STSM

    @property
    def alone(self) -> str | None:
        """What the network is, where it is counted as it is and in no row of a shift."""
        network = self.network
        return network.system or (None if network.takes_shift else network.backbone)

    @property
    def is_ceiling(self) -> bool:
        """True where a view may cost less than what is counted."""
        return self.network.system in CEILING


@dataclass(frozen=True)
class _Answer:
    """What a network costs, by the shifts that it was counted with; and the paper's figures.

    Attributes:
        fields: Rows and columns that a feature sees; None: not told of this network.
        mean: Of views of real videos, and how many they were; None: not asked for.
    """

    shifts: Mapping[str, ShiftConfig | None]
    costs: Mapping[str, "Cost"]
    paper: Sequence["Comparison"]
    fields: Mapping[str, tuple[int, int]] | None
    mean: tuple[float, int] | None = None


def _question(
    model: str,
    recipe: Recipe,
    frames: int | None,
    size: int | None,
    classes: int | None,
    views: int | None,
) -> _Question:
    """The network that is asked for; what is None is the recipe's."""
    own, test = recipe.model, recipe.test
    frames = _within("--frames", frames, own.num_frames, 1, MAX_FRAMES)
    size = _within("--size", size, test.crop_px, 32, MAX_PX)  # the networks' stride
    classes = _within("--classes", classes, own.num_classes or DEFAULT_CLASSES, 1, MAX_CLASSES)
    views = _within("--views", views, test.clips * test.crops, 1, MAX_VIEWS)
    edits = {"num_frames": frames, "num_classes": classes, "weights": None, "init": None}
    return _Question(model, own.model_copy(update=edits), size, views)


def _asked(question: _Question, dims: str | None, alpha: str | None) -> ShiftConfig:
    """The shift of STSM's row: `dims` and `alpha`, else the network's own or the paper's."""
    given = question.network.shift
    default = STSM if given is None or given == TSM else given
    shift = _shift(dims or default.dims, alpha or str(default.alpha))
    if question.alone is not None and (dims or alpha):
        raise UsageError(f"--shift and --alpha: {question.model} is {question.alone.upper()}")
    return shift


def _counted(question: _Question) -> _Answer:
    from stsm_cli.analysis.cost import model_cost
    from stsm_cli.analysis.paper_cost import compare_with_paper

    shifts, costs = default_shifts(question.network, question.asked), {}
    with output.current().bar("counting", len(shifts) + 1) as bar:
        for name, setting in shifts.items():
            network = question.network.model_copy(update={"shift": setting})
            costs[name] = model_cost(network, size_px=question.size)
            bar.advance()
        paper = compare_with_paper(question.network)
        bar.advance()
    fields = _fields(question.network, shifts, question.size)
    return _Answer(shifts, costs, paper, fields)


def _check_mean(
    model: str, recipe: Recipe, checkpoint: Path | None, data: Path | None, videos: int | None
) -> None:
    """Refuse options of a mean where there is none."""
    given = {"--checkpoint": checkpoint, "--data": data, "--videos": videos}
    options = [option for option, value in given.items() if value is not None]
    if options and recipe.model.system not in CEILING:
        raise UsageError(f"{options[0]}: the cost of {model} is the same for all videos")
    if options and checkpoint is None:
        raise UsageError(f"{options[0]}: means nothing without --checkpoint")


def _mean_macs(
    recipe: Recipe, checkpoint: Path, data: Path | None, *, num_videos: int, size_px: int
) -> tuple[float, int]:
    """The mean cost of a view of so many validation videos, and how many of them decode."""
    import torch

    from stsm_cli.analysis.counting import mean_macs
    from stsm_cli.data.dataset import open_split
    from stsm_cli.data.decode import default_decoder
    from stsm_cli.engine.testing import load_model, sample_views

    console = output.current()
    network = load_model(recipe.model, checkpoint, torch.device("cpu"))
    decoder = default_decoder()
    split = open_split(recipe.data, data, "val", decoder=decoder, budget_bytes=0, progress=console)
    views = sample_views(
        network, split, recipe, num_videos=num_videos, size_px=size_px, progress=console
    )
    return mean_macs(network, views)


def _fields(
    config: ModelConfig, shifts: Mapping[str, ShiftConfig | None], size_px: int
) -> dict[str, tuple[int, int]] | None:
    """Rows and columns that a feature of the last map sees, by setting; None: it sees all, or more.

    Of the embedded sets' 2D networks: others see more than their picture.
    """
    if config.backbone not in get_args(SmallBackbone) or config.system or config.non_local:
        return None
    from stsm_cli.analysis.receptive_field import receptive_field

    return {
        name: receptive_field(config.model_copy(update={"shift": shift}), size_px=size_px).size
        for name, shift in shifts.items()
    }


def default_shifts(config: ModelConfig, asked: ShiftConfig) -> dict[str, ShiftConfig | None]:
    """The shifts that a network is counted with, by their names: none, TSM's, and `asked`."""
    if config.system is not None:  # is counted as it is
        return {config.system.upper(): config.shift}
    if not config.takes_shift:
        return {config.backbone.upper(): None}
    if config.backbone in get_args(FrameBackbone):
        return {"TSN": None, "TSM": TSM, "STSM": asked}
    return {"no shift": None, "TSM's": TSM, "STSM's": asked}  # no TSN


def _within(option: str, given: int | None, default: int, least: int, most: int) -> int:
    value = default if given is None else given
    if not least <= value <= most:
        rule = f"at least {least}" if value < least else f"at most {most:,}"
        raise UsageError(f"{option} must be {rule}, got {value}")
    return value


def _recipe(model: str) -> Recipe:
    """The recipe that MODEL is, or one around the network that it names.

    Raises:
        UsageError: It is neither.
        RecipeError: It is a recipe that is wrong.
    """
    from stsm_cli.config.load import load_recipe, recipe_names

    name = model.lower()
    if name in BACKBONES:
        network = {"backbone": BACKBONES[name], "num_classes": 400, "non_local": name == R50_NL}
        data = {"dataset": "k400", "sampling": "dense"}
        test = {"clips": 10, "crops": 3, "crop_px": 224}
        optim = {"lr": 1.0, "epochs": 1}
        parts = {"model": network, "data": data, "test": test, "optim": optim}
        return Recipe.model_validate(parts)
    if model in recipe_names() or Path(model).is_file() or Path(f"{model}.yaml").is_file():
        return load_recipe(model).recipe
    near = get_close_matches(name, [*BACKBONES, *recipe_names()], n=3)
    hint = f"choose one of {', '.join(BACKBONES)}, or one of `stsm recipes`"
    if near:
        hint = f"did you mean {' or '.join(f'`{other}`' for other in near)}?"
    raise UsageError(f"unknown model `{model}`", hint=hint)


def _shift(dims: str, alpha: str) -> ShiftConfig:
    for option, parse, value in (("--shift", parse_dims, dims), ("--alpha", parse_alpha, alpha)):
        try:
            parse(value)
        except ValueError as error:
            raise UsageError(f"{option}: {error}") from None
    return ShiftConfig(dims=dims, alpha=parse_alpha(alpha))


def _record(question: _Question, answer: _Answer, per_layer: bool) -> dict[str, Any]:
    network, mean = question.network, answer.mean
    shift = question.asked if question.alone is None else network.shift
    record: dict[str, Any] = {
        "schema": "stsm.flops/1",
        "model": question.model,
        "num_frames": network.num_frames,
        "size": question.size,
        "num_classes": network.num_classes,
        "views": question.views,
        "shift": shift and shift.model_dump(mode="json", include={"dims", "alpha"}),
        "is_ceiling": question.is_ceiling,
        "receptive_field": answer.fields,
    }
    if mean is not None:
        record["mean"] = {"macs": mean[0], "videos": mean[1]}
    record |= _costs_record(answer.costs, question.views)
    record["paper"] = [_paper_record(row) for row in answer.paper]
    if per_layer:
        *_, cost = answer.costs.values()
        record["layers"] = [asdict(layer) for layer in cost.layers]
    return record


def _costs_record(costs: Mapping[str, "Cost"], views: int) -> dict[str, Any]:
    *_, cost = costs.values()
    return {
        "macs": cost.macs,
        "macs_total": cost.macs * views,
        "gmacs": cost.macs / 1e9,
        "gflops": 2 * cost.macs / 1e9,
        "params": cost.params,
        "training_params": cost.training_params,
        "shifted_channels": [asdict(site) for site in cost.sites],
        "settings": {
            name: {"macs": c.macs, "params": c.params, "shifted": sum(s.shifted for s in c.sites)}
            for name, c in costs.items()
        },
        "skipped": cost.skipped,
        "uncounted": [{"operator": name, "times": n} for name, n in cost.uncounted.items()],
    }


def _paper_record(row: "Comparison") -> dict[str, Any]:
    paper = row.paper
    printed = {"table": paper.table, "rows": paper.rows}
    printed |= {key: getattr(paper.networks[0], key) for key in NETWORK_KEYS}
    printed |= {"gflops": paper.gflops, "params": paper.params, "views": paper.views}
    printed |= {"counted_px": paper.counted_px, "num_networks": len(paper.networks)}
    measured = {key: value for key, value in asdict(row).items() if key != "paper"}
    return printed | {"measured": measured}


def _print(question: _Question, answer: _Answer, per_layer: bool) -> None:
    _print_costs(question, answer)
    if per_layer:
        _print_layers(*list(answer.costs.items())[-1])
    _print_paper(answer.paper, question.network.num_frames)


def _print_costs(question: _Question, answer: _Answer) -> None:
    network, views = question.network, question.views
    rows = []
    for name, shift in answer.shifts.items():
        cost = answer.costs[name]
        rows.append(
            [
                name,
                f"{shift.dims}, {shift.alpha}" if shift else "-",
                _giga(cost.macs),
                _giga(cost.macs * views),
                f"{cost.params:,}",
                _shifted(cost.sites),
            ]
        )
    title = f"{question.model}, {counted(network.num_frames, 'frame')} of {question.size}² pixels, "
    title += f"{network.num_classes} classes"
    total = f"MACs, {counted(views, 'view')}"
    columns = ["", "shift", "MACs a view", total, "parameters", "channels shifted"]
    notes = [*_notes_of_videos(question, answer), *_notes(answer.costs)]
    if answer.fields is not None:
        fields = ((name, *sides) for name, sides in answer.fields.items())
        seen = ", ".join(f"{rows}×{columns} ({name})" for name, rows, columns in fields)
        notes.insert(0, f"a feature of the last map sees {seen} of {question.size}×{question.size}")
    output.current().table(title, columns, rows, notes)


def _notes_of_videos(question: _Question, answer: _Answer) -> list[str]:
    """Costs that depend on the video, or that a video has before the network sees it."""
    notes = [CEILING_NOTE] if question.is_ceiling else []
    if answer.mean is not None:
        macs, videos = answer.mean
        notes.append(f"mean of {counted(videos, 'view')}, of a video each: {_giga(macs)}")
    if question.network.stream == "flow":
        notes.append("computing optical flow is not counted: benchmarks/flow.py has its cost")
    return notes


def _notes(costs: Mapping[str, "Cost"]) -> list[str]:
    *before, (name, cost) = costs.items()
    uncounted = ", ".join(f"{name} ×{n}" for name, n in cost.uncounted.items()) or "none"
    added = [
        f"the shift adds {cost.macs - plain.macs} multiply-adds and "
        f"{cost.params - plain.params} parameters"
        for _, plain in before[:1]
    ]
    if cost.training_params:
        added.append(
            f"{cost.training_params:,} of the parameters are a part's that training alone uses; "
            f"a test has {cost.params - cost.training_params:,}"
        )
    whose = name.removesuffix("'s")
    return [
        *added,
        "a multiply-add (MAC) is one here and in the paper; counted as two operations, "
        f"{whose}'s view costs {_giga(2 * cost.macs)}",
        f"skipped by convention: {', '.join(sorted(cost.skipped))}; uncounted: {uncounted}",
    ]


def _shifted(sites: Sequence["ShiftSite"]) -> str:
    if not sites:
        return "0"
    shifted, channels = sum(s.shifted for s in sites), sum(s.channels for s in sites)
    return f"{shifted:,} of {channels:,}, before {len(sites)} convolutions"


def _print_layers(name: str, cost: "Cost") -> None:
    rows = [[layer.name, f"{layer.macs:,}", f"{layer.params:,}"] for layer in cost.layers]
    output.current().text("")
    output.current().table(f"{name}, layer by layer", ["layer", "MACs a view", "parameters"], rows)


def _print_paper(paper: Sequence["Comparison"], frames: int) -> None:
    from stsm_cli.analysis.paper_cost import TRAIN_CROP_PX

    output.current().text("")
    if not paper:
        output.current().text(f"the paper prints no cost of this network with {frames} frames")
        return
    elsewhere = any(row.paper.counted_px != TRAIN_CROP_PX for row in paper)
    rows = [
        [
            _line(row.paper),
            row.paper.gflops,
            *([f"{_giga(row.macs_counted)} at {row.paper.counted_px}²"] if elsewhere else []),
            _giga(row.macs_train_crop),
            _giga(row.macs_test_crop),
            _giga(row.macs_test_crop * row.paper.views) if row.paper.views else "-",
            row.paper.params,
            f"{row.params:,}",
            f"{row.paper.num_classes}",
        ]
        for row in paper
    ]
    columns = ["", "GFLOPs printed", *(["MACs as printed"] if elsewhere else [])]
    columns += ["MACs at 224²", "MACs at 256²", "all views at 256²"]
    columns += ["#Para printed", "parameters", "classes"]
    tables: dict[str, list[str]] = {}
    for row in paper:
        for reason in row.reasons:
            tables.setdefault(reason, []).append(_line(row.paper).removeprefix("Table "))
    notes = [f"Table {', '.join(found)}: {reason}" for reason, found in tables.items()]
    output.current().table(
        "The paper's figures, and the same networks measured", columns, rows, notes
    )


def _line(paper: "PaperCost") -> str:
    """For example `Table 4`; of another system than TSN, TSM and STSM with its name."""
    return f"Table {paper.table}" + (f" {paper.rows[0]}" if paper.is_system else "")


def _giga(macs: float) -> str:
    return f"{macs / 1e9:,.2f} G"
