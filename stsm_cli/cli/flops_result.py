"""What `stsm flops` counted: tables, or an object of JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from stsm_cli.cli import output
from stsm_cli.config.schema import ModelConfig, ShiftConfig, System
from stsm_cli.printable import counted

if TYPE_CHECKING:
    from stsm_cli.analysis.cost import Cost, ShiftSite
    from stsm_cli.analysis.paper_cost import Comparison
    from stsm_cli.analysis.printed_cost import PaperCost

CEILING_NOTE = "the most that a view can cost: time steps that it does not need are dropped"
CEILING: tuple[System, ...] = ("atfr",)
"""Systems that compute less where a view lets them: what is counted is the most."""
NETWORK_KEYS = ("backbone", "system", "non_local", "num_frames", "num_classes")
"""What a comparison with the paper says of the network, or of the first of two."""


@dataclass(frozen=True)
class Question:
    """A network to be counted.

    Attributes:
        model: As it was asked for.
        network: With its own shift, if it has one.
        size: Side of a view in pixels.
        views: Of a video.
        asked: The shift of STSM's row.
        follows_motion: Its frames are chosen by motion, as MGSampler does.
    """

    model: str
    network: ModelConfig
    size: int
    views: int
    asked: ShiftConfig
    follows_motion: bool = False

    @property
    def alone(self) -> str | None:
        """What the network is, where it is counted as it is and in no row of a shift."""
        network = self.network
        if self.follows_motion:
            return "motion-guided"
        return network.system or (None if network.takes_shift else network.backbone)

    @property
    def is_ceiling(self) -> bool:
        """True where a view may cost less than what is counted."""
        return self.network.system in CEILING


@dataclass(frozen=True)
class Answer:
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


def print_answer(question: Question, answer: Answer, per_layer: bool) -> None:
    """Show the costs, beside them the paper's; `per_layer`: also those of each layer."""
    _print_costs(question, answer)
    if per_layer:
        _print_layers(*list(answer.costs.items())[-1])
    _print_paper(answer.paper, question.network.num_frames)


def answer_record(question: Question, answer: Answer, per_layer: bool) -> dict[str, Any]:
    """The same as an object of JSON."""
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


def _print_costs(question: Question, answer: Answer) -> None:
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
    columns = [
        "",
        "shift",
        "MACs a view",
        f"MACs, {counted(views, 'view')}",
        "parameters",
        "channels shifted",
    ]
    notes = [*_notes_of_videos(question, answer), *_notes(answer.costs)]
    if answer.fields is not None:
        fields = ((name, *sides) for name, sides in answer.fields.items())
        seen = ", ".join(f"{rows}×{columns} ({name})" for name, rows, columns in fields)
        notes.insert(0, f"a feature of the last map sees {seen} of {question.size}×{question.size}")
    output.current().table(title, columns, rows, notes)


def _notes_of_videos(question: Question, answer: Answer) -> list[str]:
    """Costs that depend on the video, or that a video has before the network sees it."""
    notes = [CEILING_NOTE] if question.is_ceiling else []
    if answer.mean is not None:
        macs, videos = answer.mean
        notes.append(f"mean of {counted(videos, 'view')}, of a video each: {_giga(macs)}")
    if question.network.stream == "flow":
        notes.append("computing optical flow is not counted: benchmarks/flow.py has its cost")
    if question.follows_motion:
        notes.append("every frame of a video is read to choose those of a view: not counted")
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
