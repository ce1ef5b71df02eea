"""`stsm flops`."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from difflib import get_close_matches
from fractions import Fraction
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from stsm_cli.cli import output
from stsm_cli.cli.options import Json
from stsm_cli.config.notation import parse_alpha, parse_dims
from stsm_cli.config.schema import Backbone, ModelConfig, ShiftConfig
from stsm_cli.errors import UsageError

if TYPE_CHECKING:
    from stsm_cli.analysis.cost import Cost, ShiftSite
    from stsm_cli.analysis.paper_cost import Comparison

NON_LOCAL = "r50-nl"
SHORT_NAMES: dict[str, Backbone] = {
    "r18": "resnet18",
    "r34": "resnet34",
    "r50": "resnet50",
    NON_LOCAL: "resnet50",
    "r101": "resnet101",
    "r152": "resnet152",
    "mbv2": "mobilenet_v2",
}
NETWORKS = SHORT_NAMES | {name: name for name in get_args(Backbone)}
TSM = ShiftConfig(dims="T", alpha=Fraction(1, 4))


def flops(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            autocompletion=lambda: list(NETWORKS),
            help=f"{', '.join(SHORT_NAMES)}, or a torchvision ResNet.",
        ),
    ],
    frames: Annotated[int, typer.Option("--frames", help="Frames a view.")] = 8,
    size: Annotated[int, typer.Option("--size", help="Side of a view in pixels.")] = 224,
    classes: Annotated[int, typer.Option("--classes", help="Classes.")] = 400,
    shift: Annotated[str, typer.Option("--shift", metavar="DIMS", help="STSM's dims.")] = "T+H+W",
    alpha: Annotated[str, typer.Option("--alpha", help="STSM's fraction of channels.")] = "3/8",
    views: Annotated[
        int, typer.Option("--views", help="Views a video in the test: clips × crops.")
    ] = 30,
    per_layer: Annotated[bool, typer.Option("--per-layer", help="Show each layer too.")] = False,
    as_json: Json = False,
) -> None:
    """Count a network's multiply-adds and parameters, beside the paper's figures.

    Examples:
      stsm flops r50
      stsm flops mbv2 --frames 16 --classes 174 --views 6 --json
    """
    _at_least("--frames", frames, 1)
    _at_least("--size", size, 32)  # the networks' stride
    _at_least("--classes", classes, 1)
    _at_least("--views", views, 1)
    asked = _shift(shift, alpha)
    config = _config(model, frames, classes)
    from stsm_cli.analysis.cost import model_cost
    from stsm_cli.analysis.paper_cost import compare_with_paper

    shifts = {"TSN": None, "TSM": TSM, "STSM": asked}
    costs = {}
    with output.current().bar("counting", len(shifts) + 1) as bar:
        for name, setting in shifts.items():
            network = config.model_copy(update={"shift": setting})
            costs[name] = model_cost(network, size_px=size)
            bar.advance()
        paper = compare_with_paper(config)
        bar.advance()
    if as_json:
        question = {"schema": "stsm.flops/1", "model": model, "num_frames": frames, "size": size}
        question |= {"num_classes": classes, "views": views, "shift": asked.model_dump(mode="json")}
        output.current().json(question | _record(costs, paper, views, per_layer))
        return
    title = f"{model}, {frames} frames of {size}² pixels, {classes} classes"
    _print_costs(title, shifts, costs, views)
    if per_layer:
        _print_layers(costs["STSM"])
    _print_paper(paper, frames)


def _at_least(option: str, value: int, least: int) -> None:
    if value < least:
        raise UsageError(f"{option} must be at least {least}, got {value}")


def _config(model: str, frames: int, classes: int) -> ModelConfig:
    if model not in NETWORKS:
        near = get_close_matches(model, NETWORKS, n=1)
        hint = f"did you mean `{near[0]}`?" if near else f"choose one of {', '.join(NETWORKS)}"
        raise UsageError(f"unknown model `{model}`", hint=hint)
    return ModelConfig(
        backbone=NETWORKS[model],
        num_classes=classes,
        num_frames=frames,
        non_local=model == NON_LOCAL,
    )


def _shift(dims: str, alpha: str) -> ShiftConfig:
    for option, parse, value in (("--shift", parse_dims, dims), ("--alpha", parse_alpha, alpha)):
        try:
            parse(value)
        except ValueError as error:
            raise UsageError(f"{option}: {error}") from None
    return ShiftConfig(dims=dims, alpha=parse_alpha(alpha))


def _record(
    costs: Mapping[str, "Cost"], paper: Sequence["Comparison"], views: int, per_layer: bool
) -> dict[str, Any]:
    cost = costs["STSM"]
    record = {
        "macs": cost.macs,
        "macs_total": cost.macs * views,
        "gmacs": cost.macs / 1e9,
        "gflops": 2 * cost.macs / 1e9,
        "params": cost.params,
        "shifted_channels": [asdict(site) for site in cost.sites],
        "settings": {
            name: {"macs": c.macs, "params": c.params, "shifted": sum(s.shifted for s in c.sites)}
            for name, c in costs.items()
        },
        "skipped": cost.skipped,
        "uncounted": [{"operator": name, "times": n} for name, n in cost.uncounted.items()],
        "paper": [_paper_record(row) for row in paper],
    }
    if per_layer:
        record["layers"] = [asdict(layer) for layer in cost.layers]
    return record


def _paper_record(row: "Comparison") -> dict[str, Any]:
    printed = row.paper.model_dump(mode="json") | {"views": row.paper.views}
    measured = {key: value for key, value in asdict(row).items() if key != "paper"}
    return printed | {"measured": measured}


def _print_costs(
    title: str,
    shifts: Mapping[str, ShiftConfig | None],
    costs: Mapping[str, "Cost"],
    views: int,
) -> None:
    rows = []
    for name, shift in shifts.items():
        cost = costs[name]
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
    columns = ["", "shift", "MACs a view", f"MACs, {views} views", "parameters", "channels shifted"]
    output.current().table(title, columns, rows, _notes(costs))


def _notes(costs: Mapping[str, "Cost"]) -> list[str]:
    plain, shifted = costs["TSN"], costs["STSM"]
    uncounted = ", ".join(f"{name} ×{n}" for name, n in shifted.uncounted.items()) or "none"
    return [
        f"the shift adds {shifted.macs - plain.macs} multiply-adds and "
        f"{shifted.params - plain.params} parameters",
        "a multiply-add (MAC) is one here and in the paper; counted as two operations, "
        f"STSM's view costs {_giga(2 * shifted.macs)}",
        f"skipped by convention: {', '.join(sorted(shifted.skipped))}; uncounted: {uncounted}",
    ]


def _shifted(sites: Sequence["ShiftSite"]) -> str:
    if not sites:
        return "0"
    shifted, channels = sum(s.shifted for s in sites), sum(s.channels for s in sites)
    return f"{shifted:,} of {channels:,}, before {len(sites)} convolutions"


def _print_layers(cost: "Cost") -> None:
    rows = [[layer.name, f"{layer.macs:,}", f"{layer.params:,}"] for layer in cost.layers]
    output.current().text("")
    output.current().table("STSM, layer by layer", ["layer", "MACs a view", "parameters"], rows)


def _print_paper(paper: Sequence["Comparison"], frames: int) -> None:
    output.current().text("")
    if not paper:
        output.current().text(f"the paper prints no cost of this network with {frames} frames")
        return
    rows = [
        [
            f"Table {row.paper.table}",
            row.paper.gflops,
            _giga(row.macs_train_crop),
            _giga(row.macs_test_crop),
            _giga(row.macs_test_crop * row.paper.views) if row.paper.views else "-",
            row.paper.params,
            f"{row.params:,}",
            f"{row.paper.num_classes}",
        ]
        for row in paper
    ]
    columns = ["", "GFLOPs printed", "MACs at 224²", "MACs at 256²", "all views at 256²"]
    columns += ["#Para printed", "parameters", "classes"]
    tables: dict[str, list[str]] = {}
    for row in paper:
        for reason in row.reasons:
            tables.setdefault(reason, []).append(f"{row.paper.table}")
    notes = [f"Table {', '.join(found)}: {reason}" for reason, found in tables.items()]
    output.current().table(
        "The paper's figures, and the same networks measured", columns, rows, notes
    )


def _giga(macs: int) -> str:
    return f"{macs / 1e9:,.2f} G"
