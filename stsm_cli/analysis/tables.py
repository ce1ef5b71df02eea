"""From records to a Markdown table: the paper's row and the measured row, side by side.

A pure function of the records, the ablation and the paper's table; the same records give the same
bytes. Nothing in the text is a typed result: every sentence about numbers is built from them.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from typing import Any

from stsm_cli.analysis.ablation import Ablation
from stsm_cli.analysis.paper import PaperTable
from stsm_cli.analysis.reading import still_rising, verdicts
from stsm_cli.analysis.records import Network, RunRecord
from stsm_cli.analysis.spread import Spread
from stsm_cli.analysis.summary import LABELS, Group, RowSummary, summarise

NOT_RUN = "not run"
EMBEDDED_SET = (
    "**Numbers of the “embedded set” are of videos that `stsm` generates itself and of a small "
    "network made for them. They are not Kinetics-400 numbers; what can be set beside the paper's "
    "column is the order of the rows.**"
)
LEGEND = (
    "Top-1 in percent, the best of each column bold. Measured: mean over seeds; spread: sample "
    "standard deviation (smallest – largest), or of a single seed the 95 % Wilson interval of its "
    "test videos. “In pair”: how often a video's class scores above its time reversal (chance: 50)."
)


def render(
    ablation: Ablation, paper: PaperTable, groups: Sequence[Group], figures: Sequence[str]
) -> str:
    """The Markdown file of one table.

    Args:
        ablation: The rows.
        paper: The paper's table.
        groups: What was measured, a section each.
        figures: Pictures of the first section, as paths relative to the table's file.
    """
    lines = [
        f"# Table {ablation.table}: {ablation.title}",
        "",
        f"The paper's caption: “{paper.caption}”",
        "",
    ]
    lines += [f"Note: {note}\n" for note in ablation.notes]
    if any(group.first.dataset == "synth" for group in groups):
        lines += [EMBEDDED_SET, ""]
    for number, group in enumerate(groups):
        lines += _section(ablation, paper, group, [] if number else figures)
    return "\n".join(lines)


def _section(
    ablation: Ablation, paper: PaperTable, group: Group, figures: Sequence[str]
) -> list[str]:
    rows = summarise(ablation, paper, group)
    title = LABELS[group.first.dataset]
    return [
        f"## {title[0].upper()}{title[1:]}, {group.first.budget} budget: {group.extent}",
        "",
        *_markdown(*main_table(rows, paper, group, bold="**")),
        "",
        LEGEND,
        "",
        *(f"![{figure}]({figure})\n" for figure in figures),
        "What these numbers say, computed from them:",
        "",
        *(f"- {sentence}" for sentence in (*verdicts(rows), *still_rising(group))),
        "",
        *_markdown(*_networks(group, paper)),
        "",
        *(f"- {line}" for line in _conditions(group)),
        "",
    ]


def main_table(
    rows: Sequence[RowSummary], paper: PaperTable, group: Group, *, bold: str = ""
) -> tuple[list[str], list[list[str]]]:
    """Head and cells of the table itself; `bold` goes around the best of each column."""
    best_paper = max((row.paper_top1 or 0 for row in rows), default=0)
    best = max((row.top1.mean for row in rows if row.top1), default=0)
    columns = [
        "setting",
        f"paper: {LABELS[paper.dataset]}",
        f"measured: {LABELS[group.first.dataset]}",
        "spread",
        "seeds",
        "in pair",
        "multiply-adds",
        "parameters",
    ]
    cells = [
        [
            row.row.name,
            _mark(paper_cell(row), bold if row.paper_top1 == best_paper else ""),
            _mark(mean_cell(row.top1), bold if row.top1 and row.top1.mean == best else ""),
            _spread(row),
            str(len(row.records)),
            mean_cell(row.pair_accuracy) if row.pair_accuracy else "–",
            _each(row.records, lambda record: adds(record.network.macs)) or "–",
            _each(row.records, lambda record: mega(record.network.params)) or "–",
        ]
        for row in rows
    ]
    return columns, cells


def paper_cell(row: RowSummary) -> str:
    """Printed top-1, with its source where the paper cites it."""
    cited = [f"{line.top1} {line.source}" if line.cited else line.top1 for line in row.paper]
    return ", ".join(cited) or "–"


def _mark(text: str, bold: str) -> str:
    return f"{bold}{text}{bold}"


def mean_cell(spread: Spread | None) -> str:
    """A mean in percent, or that nobody has run it."""
    return NOT_RUN if spread is None else f"{spread.mean:.1f}"


def _spread(row: RowSummary) -> str:
    if row.top1 is None:
        return "–"
    if row.top1.sd is None:
        low, high = row.records[0].score.top1_interval
        return f"[{low:.1f}, {high:.1f}]"
    return f"± {row.top1.sd:.1f} ({row.top1.low:.1f} – {row.top1.high:.1f})"


def _networks(group: Group, paper: PaperTable) -> tuple[list[str], list[list[str]]]:
    """The measured network, the paper's counted the same way, and what the paper prints."""
    first, records = group.first, group.records
    rows = [
        _network_row(f"measured: {_title(first.recipe)}", records, lambda record: record.network),
        _network_row("the paper's, counted here", records, lambda record: record.paper_network),
    ]
    printed = [
        _joined(row.num_frames for row in paper.rows),
        _joined(row.flops for row in paper.rows),
        _joined(row.params for row in paper.rows),
    ]
    if any(printed):
        rows.append(["the paper's, as printed", *printed])
    return ["network", "frames × pixels", "multiply-adds a view", "parameters"], rows


def _title(recipe: dict[str, Any]) -> str:
    return f"{recipe['model']['backbone']}, {recipe['model']['num_classes']} classes"


def _network_row(
    title: str, records: Sequence[RunRecord], of: Callable[[RunRecord], Network]
) -> list[str]:
    return [
        title,
        _each(records, lambda r: f"{r.recipe['model']['num_frames']} × {of(r).size_px}²"),
        _each(records, lambda record: adds(of(record).macs)),
        _each(records, lambda record: mega(of(record).params)),
    ]


def _conditions(group: Group) -> list[str]:
    first, records = group.first, group.records
    model, data, optim = (first.recipe[part] for part in ("model", "data", "optim"))
    lines = [f"Data set: {LABELS[first.dataset]}, {first.score.num_listed} test videos"]
    if synth := data["synth"]:
        lines[0] += f"; {', '.join(f'{key} {value}' for key, value in synth.items())}"
    excluded = max(record.score.num_listed - record.score.num_videos for record in records)
    seeds = len(group.seeds)
    return [
        *lines,
        f"Protocol: {_protocols(records)}, {model['num_frames']} frames a view, {data['sampling']} "
        f"sampling; videos that did not decode, counted as wrong: {excluded}",
        f"Recipe: `{first.base}`, {first.budget} budget: {group.epochs} epochs, "
        f"{optim['optimizer']}, lr {optim['lr']:g}, batch {optim['batch_size']}, "
        f"{first.recipe['precision']} (hash {first.experiment})",
        f"Seeds: {_joined(map(str, group.seeds))}; {len(records)} runs, "
        f"{timedelta(seconds=round(sum(r.seconds for r in records)))} of training and testing",
        f"Environment: {_each(records, _environment)}",
        f"Command: `{first.command}{f' --seeds {seeds}' if seeds > 1 else ''}` (finished runs are "
        f"read from `records/{first.table}/{first.dataset}-{first.budget}-{first.experiment}/`)",
    ]


def _protocols(records: Sequence[RunRecord]) -> str:
    """The test protocol; where rows were tested under several, each with its rows."""
    rows: dict[str, dict[str, None]] = {}
    for record in records:
        rows.setdefault(record.protocol, {})[record.row] = None
    if len(rows) == 1:
        return f"`{next(iter(rows))}`"
    return "; ".join(f"`{protocol}` (rows {', '.join(names)})" for protocol, names in rows.items())


def _environment(record: RunRecord) -> str:
    known = {**record.environment, **record.environment.get("packages", {})}
    parts = [
        f"{key} {known[key]}" for key in ("stsm", "commit", "python", "torch") if known.get(key)
    ]
    places = [str(known[key]) for key in ("platform", "device", "cpu_capability") if known.get(key)]
    decoder = known.get("decoder", "unknown")
    return f"{', '.join(parts)}; {', '.join(places)}; decoder {decoder}"


def _each(records: Sequence[RunRecord], text: Callable[[RunRecord], str]) -> str:
    return _joined(text(record) for record in records)


def _joined(texts: Iterable[str | None]) -> str:
    return ", ".join(dict.fromkeys(text for text in texts if text is not None))


def adds(macs: int) -> str:
    """Multiply-adds with the unit that leaves one to three digits before the point."""
    for unit, size in (("P", 1e15), ("T", 1e12), ("G", 1e9)):
        if macs >= size:
            return f"{macs / size:.2f} {unit}"
    return f"{macs / 1e6:.1f} M"


def mega(params: int) -> str:
    """Parameters in M."""
    return f"{params / 1e6:.2f} M"


def _markdown(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [columns, ["---"] * len(columns), *rows]
    return [f"| {' | '.join(line)} |" for line in lines]
