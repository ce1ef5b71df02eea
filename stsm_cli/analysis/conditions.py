"""Conditions of a measured table: data, protocol, networks, recipe, seeds, machine, command."""

import re
import shlex
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import timedelta

from stsm_cli.analysis.ablation import Ablation
from stsm_cli.analysis.cells import adds, joined, mega
from stsm_cli.analysis.records import UNKNOWN, RunRecord
from stsm_cli.analysis.summary import LABELS, Group, setting_of
from stsm_cli.config.load import load_recipe
from stsm_cli.config.schema import DatasetName, ModelConfig


def conditions(ablation: Ablation, dataset: DatasetName, group: Group) -> list[str]:
    """Conditions under which the numbers of `group` came about, a line each.

    Args:
        ablation: The table's rows.
        dataset: The paper's.
        group: What was measured.
    """
    places = {row.name: place for place, row in enumerate(ablation.all_rows)}
    records = sorted(group.records, key=lambda r: (places.get(r.row, len(places)), r.seed))
    first = records[0]
    data = first.recipe.data
    lines = [f"Data set: {LABELS[first.dataset]}, {first.score.num_listed} test videos"]
    if data.generated is not None:
        settings = dict(data.generated)
        if "draw" in settings:
            draws = sorted({record.recipe.data.draw for record in records})
            settings["draw"] = "/".join(map(str, draws))
        lines[0] += f"; {', '.join(f'{key} {value}' for key, value in settings.items())}"
    if (known_as := first.identity.data) != UNKNOWN:
        lines[0] += f"; known as `{known_as}`"
    lines[0] += _files(records)
    excluded = max(record.score.num_listed - record.score.num_videos for record in records)
    printed = paper_protocol(ablation, dataset)
    sampling = _by_rows(records, lambda record: f"{record.recipe.data.sampling} sampling")
    return [
        *lines,
        f"Protocol: {_by_rows(records, lambda record: f'`{record.protocol}`')}, {sampling}; "
        f"the paper's: `{printed}`; videos that did not decode, counted as wrong: {excluded}",
        f"Networks, a view of each: {_by_rows(records, _network)}",
        f"Recipe: `{first.base}`, {first.budget} budget: {_by_rows(records, _training)} "
        f"(hash {first.experiment}); start: "
        f"{_by_rows(records, lambda record: _start(record.recipe.model))}",
        f"Seeds: {joined(map(str, group.seeds))}; {len(records)} runs, "
        f"{timedelta(seconds=round(sum(r.seconds for r in records)))} of training and testing",
        *_mixed(records),
        f"Environment: {_environments(records)}",
        f"Command: {_commands(ablation, records)} (finished runs are "
        f"read from `records/{first.table}/{first.dataset}-{first.budget}-{first.experiment}/`)",
    ]


def _mixed(records: Sequence[RunRecord]) -> list[str]:
    """A line on each row whose seeds are not of one recipe, as where it changed between them."""
    rows: dict[str, dict[str, list[str]]] = {}
    for record in records:
        rows.setdefault(record.row, {}).setdefault(setting_of(record), []).append(str(record.seed))
    return [
        f"Row {row}, of several recipes: "
        + "; ".join(f"seed {joined(seeds)} of `{known}`" for known, seeds in recipes.items())
        for row, recipes in rows.items()
        if len(recipes) > 1
    ]


def _commands(ablation: Ablation, records: Sequence[RunRecord]) -> str:
    """What repeats the runs: a command for all rows of as many seeds, those of the most first."""
    first, command = records[0], records[-1].command  # systems stand last
    num_seeds: dict[str, int] = {}
    for record in records:  # up to the last, for a command leaves none out
        number = record.seed - _first_seed(command) + 1
        num_seeds[record.row] = max(number, num_seeds.get(record.row, 1))
    is_whole = num_seeds.keys() == _rows_without_names(ablation, first, command)
    told = []
    for seeds in sorted(set(num_seeds.values()), reverse=True):
        words = [command, *(["--seeds", str(seeds)] if seeds > 1 else [])]
        if not (is_whole and seeds == min(num_seeds.values())):
            rows = [row for row, number in num_seeds.items() if number == seeds]
            words += [word for row in rows for word in ("--row", shlex.quote(row))]
        told.append(f"`{' '.join(words)}`")
    return ", then ".join(told)


def _first_seed(command: str) -> int:
    """That of a command's runs of one seed."""
    given = re.findall(r"--set '?seed=(\d+)", command)
    return int(given[-1]) if given else 0


def _rows_without_names(ablation: Ablation, record: RunRecord, command: str) -> set[str]:
    """The rows that `command` runs where it names none, of the data set and budget of a record."""
    dataset = record.dataset
    names = {row.name for row in ablation.rows if not row.only or dataset in row.only}
    if ablation.quick and dataset in ablation.full and "--full" not in command.split():
        names &= set(ablation.quick)
    if command.endswith(" --systems"):
        names |= {row.name for row in ablation.systems if dataset in row.recipes}
    return names


def paper_protocol(ablation: Ablation, dataset: DatasetName) -> str:
    """The name of the paper's test protocol on a data set."""
    return load_recipe(ablation.base[dataset]).recipe.protocol


def _by_rows(records: Sequence[RunRecord], text: Callable[[RunRecord], str]) -> str:
    """Text that the runs have in common; where they differ, each text with its rows."""
    rows: dict[str, dict[str, None]] = {}
    for record in records:
        rows.setdefault(text(record), {})[record.row] = None
    if len(rows) == 1:
        return next(iter(rows))
    return "; ".join(f"{key} (rows {', '.join(names)})" for key, names in rows.items())


def _training(record: RunRecord) -> str:
    optim = record.recipe.optim
    return (
        f"{record.num_epochs} epochs, {optim.optimizer}, lr {optim.lr:g}, batch "
        f"{optim.batch_size}, {record.recipe.precision}"
    )


def _network(record: RunRecord) -> str:
    model, network = record.recipe.model, record.network
    blocks = " with non-local blocks" if model.non_local else ""
    stream = "" if record.flow is None else ", RGB and flow together"
    return (
        f"`{model.backbone}`{blocks}{_added(model)}{stream}, {model.num_classes} classes, "
        f"{model.num_frames} × {network.size_px}² pixels: {adds(network.macs)} multiply-adds, "
        f"{mega(network.params)} parameters"
    )


def _added(model: ModelConfig) -> str:
    return "" if model.system is None else f" with {model.system.upper()}"


def _start(model: ModelConfig) -> str:
    if model.init:
        return f"`{model.init}`"
    return {"imagenet": "ImageNet weights", None: "random weights"}[model.weights]


def _files(records: Sequence[RunRecord]) -> str:
    """The bytes of a generated set's videos, which differ with the encoder; empty if unknown."""
    runs = Counter(", ".join(record.machine.files.values()) for record in records)
    known = {text: number for text, number in runs.items() if text}
    if not known:
        return ""
    of_draw = {(r.recipe.data.draw, ", ".join(r.machine.files.values())) for r in records}
    if len(known) == len(runs) and len(of_draw) == len({draw for draw, _ in of_draw}):
        of = " of a draw" if len(of_draw) > 1 else ""
        names = ", ".join(f"`{text}`" for _, text in sorted(of_draw))
        return f"; the same files in all runs{of}, known as {names}"
    told = "; ".join(f"`{text}` (runs: {number})" for text, number in sorted(known.items()))
    unknown = f"; unknown (runs: {runs['']})" if runs[""] else ""
    return f"; files as their encoders wrote them: {told}{unknown}"


def _environments(records: Sequence[RunRecord]) -> str:
    runs = Counter(_environment(record) for record in records)
    if len(runs) == 1:
        return next(iter(runs))
    return "; ".join(f"{text} (runs: {number})" for text, number in sorted(runs.items()))


def _environment(record: RunRecord) -> str:
    machine = record.machine
    versions = {
        "stsm": machine.stsm,
        "commit": machine.commit,
        "python": machine.python,
        "torch": machine.packages.get("torch"),
    }
    parts = [f"{name} {version}" for name, version in versions.items() if version]
    parts += filter(None, (machine.platform, machine.device, machine.cpu, machine.cpu_capability))
    return f"{', '.join(parts)}, decoder {machine.decoder or 'unknown'}"
