"""`stsm flops`."""

from collections.abc import Mapping
from dataclasses import replace
from difflib import get_close_matches
from fractions import Fraction
from pathlib import Path
from typing import Annotated, get_args

import typer
from pydantic import ValidationError

from stsm_cli.cli import output
from stsm_cli.cli.flops_result import CEILING, Answer, Question, answer_record, print_answer
from stsm_cli.cli.options import Data, Json
from stsm_cli.config.kinds import MAX_CLASSES, MAX_FRAMES, MAX_PX, rules
from stsm_cli.config.notation import parse_alpha, parse_dims
from stsm_cli.config.schema import (
    Backbone,
    FrameBackbone,
    ModelConfig,
    Recipe,
    ShiftConfig,
    SmallBackbone,
)
from stsm_cli.errors import UsageError

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
        int | None,
        typer.Option("--frames", metavar="N", help="Frames a view; default 8.", show_default=False),
    ] = None,
    size: Annotated[
        int | None,
        typer.Option(
            "--size",
            metavar="PX",
            help="Side of a view in pixels; default 224.",
            show_default=False,
        ),
    ] = None,
    classes: Annotated[
        int | None,
        typer.Option("--classes", metavar="N", help="Classes; default 400.", show_default=False),
    ] = None,
    shift: Annotated[
        str | None,
        typer.Option(
            "--shift", metavar="DIMS", help="STSM's dims; default T+H+W.", show_default=False
        ),
    ] = None,
    alpha: Annotated[
        str | None,
        typer.Option(
            "--alpha",
            metavar="SHARE",
            help="STSM's share of channels that move; default 3/8.",
            show_default=False,
        ),
    ] = None,
    views: Annotated[
        int | None,
        typer.Option(
            "--views",
            metavar="N",
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
            metavar="N",
            min=1,
            help="With --checkpoint: validation videos; default 20.",
            show_default=False,
        ),
    ] = None,
    per_layer: Annotated[bool, typer.Option("--per-layer", help="Show each layer too.")] = False,
    as_json: Json = False,
) -> None:
    """Count a network's multiply-adds and parameters.

    Beside them stand the paper's figures. A recipe brings its own defaults: its frames, classes and
    shift, and the crop and views of its test.

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
        # not the count's number of classes, where that is a guess
        known = {"num_classes": recipe.model.num_classes if classes is None else classes}
        own = recipe.model_copy(update={"model": question.network.model_copy(update=known)})
        sampled = _mean_macs(own, checkpoint, data, num_videos=videos or 20, size_px=question.size)
        answer = replace(answer, mean=sampled)
    if as_json:
        output.current().json(answer_record(question, answer, per_layer))
    else:
        print_answer(question, answer, per_layer)


def _question(
    model: str,
    recipe: Recipe,
    frames: int | None,
    size: int | None,
    classes: int | None,
    views: int | None,
) -> Question:
    """The network that is asked for; what is None is the recipe's.

    Raises:
        UsageError: A number is out of bounds, or the network cannot take so many frames.
    """
    own, test = recipe.model, recipe.test
    frames = _within("--frames", frames, own.num_frames, 1, MAX_FRAMES)
    size = _within("--size", size, test.crop_px, 32, MAX_PX)  # the networks' stride
    classes = _within("--classes", classes, own.num_classes or DEFAULT_CLASSES, 1, MAX_CLASSES)
    views = _within("--views", views, test.clips * test.crops, 1, MAX_VIEWS)
    edits = {"num_frames": frames, "num_classes": classes, "weights": None, "init": None}
    try:
        network = ModelConfig.model_validate(own.model_dump(exclude_unset=True) | edits)
    except ValidationError as error:
        rule, _ = rules(error.errors()[0]["msg"])[0]
        raise UsageError(f"--frames: {rule}") from None
    shift = own.shift or STSM
    if _with_rule(shift, TSM) == shift:
        shift = _with_rule(shift, STSM)
    motion = recipe.data.sampling == "motion"
    return Question(model, network, size, views, shift, motion)


def _with_rule(shift: ShiftConfig, rule: ShiftConfig) -> ShiftConfig:
    """`shift` with the dims and share of `rule`, before the same convolutions as it was."""
    return shift.model_copy(update={"dims": rule.dims, "alpha": rule.alpha})


def _asked(question: Question, dims: str | None, alpha: str | None) -> ShiftConfig:
    """The shift of STSM's row, with `dims` and `alpha` where they are given."""
    if dims is None and alpha is None:
        return question.asked
    own = question.asked
    shift = _shift(own.dims if dims is None else dims, str(own.alpha) if alpha is None else alpha)
    if question.alone is not None:
        raise UsageError(f"--shift and --alpha: {question.model} is {question.alone.upper()}")
    return _with_rule(own, shift)


def _counted(question: Question) -> Answer:
    from stsm_cli.analysis.cost import model_cost
    from stsm_cli.analysis.paper_cost import compare_with_paper

    shifts, costs = _shifts(question), {}
    with output.current().bar("counting", len(shifts) + 1) as bar:
        for name, setting in shifts.items():
            network = question.network.model_copy(update={"shift": setting})
            costs[name] = model_cost(network, size_px=question.size)
            bar.advance()
        paper = compare_with_paper(question.network)
        bar.advance()
    fields = _fields(question.network, shifts, question.size)
    return Answer(shifts, costs, paper, fields)


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


def _shifts(question: Question) -> dict[str, ShiftConfig | None]:
    """The shifts that are counted, by their names: of a motion-guided network its own alone."""
    network = question.network
    shifts = default_shifts(network, question.asked)
    if not question.follows_motion:
        return shifts
    return {f"MG-{name}": shift for name, shift in shifts.items() if shift == network.shift}


def default_shifts(config: ModelConfig, asked: ShiftConfig) -> dict[str, ShiftConfig | None]:
    """The shifts that a network is counted with, by their names: none, TSM's, and `asked`."""
    if config.system is not None:  # is counted as it is
        return {config.system.upper(): config.shift}
    if not config.takes_shift:
        return {config.backbone.upper(): None}
    tsm = _with_rule(asked, TSM)
    if config.backbone in get_args(FrameBackbone):
        return {"TSN": None, "TSM": tsm, "STSM": asked}
    return {"no shift": None, "TSM's": tsm, "STSM's": asked}  # no TSN


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
    from stsm_cli.config.load import is_recipe, load_recipe, recipe_names

    name = model.lower()
    if name in BACKBONES:
        network = {"backbone": BACKBONES[name], "num_classes": 400, "non_local": name == R50_NL}
        data = {"dataset": "k400", "sampling": "dense"}
        test = {"clips": 10, "crops": 3, "crop_px": 224}
        optim = {"lr": 1.0, "epochs": 1}
        parts = {"model": network, "data": data, "test": test, "optim": optim}
        return Recipe.model_validate(parts)
    if is_recipe(model):
        return load_recipe(model).recipe
    near = get_close_matches(name, [*BACKBONES, *recipe_names()], n=3)
    near = near or [recipe for recipe in recipe_names() if name in recipe][:3]
    hint = f"choose one of {', '.join(SHORT_NAMES)}, or one of `stsm recipes`"
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
