"""The cost table of a paper's table of several systems: what is printed, and what is built here."""

from collections.abc import Sequence

from stsm_cli.analysis.cells import adds, mega
from stsm_cli.analysis.counted import Counted, count
from stsm_cli.analysis.paper import PaperTable
from stsm_cli.analysis.paper_cost import TEST_CROP_PX, TRAIN_CROP_PX, Comparison, compare
from stsm_cli.analysis.printed_cost import num_classes, paper_cost
from stsm_cli.analysis.summary import LABELS, Line
from stsm_cli.config.load import load_recipe
from stsm_cli.config.schema import ModelConfig, Recipe

NOT_BUILT = "not built"
COLUMNS = (
    *("row", "network", "frames read", "test"),
    *("FLOPs printed", "a view as printed", f"of {TRAIN_CROP_PX}²", f"of {TEST_CROP_PX}²"),
    *("#Para printed", "parameters", "channels shifted"),
)


def system_costs(paper: PaperTable, lines: Sequence[Line]) -> list[list[str]]:
    """Cells below `COLUMNS`, a row for each line of the paper's table."""
    return [_cells(paper, line) for line in lines]


def system_reasons(paper: PaperTable, lines: Sequence[Line]) -> list[str]:
    """Why printed and counted differ, a sentence for all rows with the same reasons."""
    names: dict[tuple[str, ...], list[str]] = {}
    for line in lines:
        compared = _compared(paper, line)
        if compared and compared.reasons:
            names.setdefault(compared.reasons, []).append(line.name)
    return [f"{', '.join(found)}: {'; '.join(reasons)}." for reasons, found in names.items()]


def system_legend(paper: PaperTable) -> str:
    """Meaning of the cells of `system_costs`."""
    return (
        f"Networks as they are built here, at {num_classes(paper.dataset)} classes "
        f"({LABELS[paper.dataset]}), counted by fvcore: multiply-adds of one view, of the size "
        f"that the printed cost is of, of {TRAIN_CROP_PX}² pixels and of {TEST_CROP_PX}²; a shift "
        "adds none, and computing optical flow is not counted. Frames read: in a view, where "
        "several are read at one place places × frames, and of two streams both. Test: clips × "
        "crops of the row's recipe, and their size. Channels shifted: over the inputs of all "
        "convolutions that stand behind a shift, and of them in each group of axes. How printed "
        "and counted compare, and why:"
    )


def shifted_cell(cost: Counted) -> str:
    """For example `4,920 of 13,120, 1,640 a group`, or with each group where they differ."""
    if not cost.sites:
        return "none"
    text = f"{cost.shifted:,} of {cost.channels:,}"
    sizes = set(cost.by_group.values())
    if len(cost.by_group) == 1:
        return text
    if len(sizes) == 1:
        return f"{text}, {sizes.pop():,} a group"
    return f"{text}: {', '.join(f'{group} {n:,}' for group, n in cost.by_group.items())}"


def _cells(paper: PaperTable, line: Line) -> list[str]:
    printed, compared = line.printed[0], _compared(paper, line)
    flops, params = printed.flops or "–", printed.params or "–"
    if compared is None:
        return [line.name, NOT_BUILT, "–", "–", flops, "–", "–", "–", params, "–", "–"]
    recipes = [load_recipe(name).recipe for name in printed.recipes]
    return [
        line.name,
        " + ".join(dict.fromkeys(_network(recipe.model) for recipe in recipes)),
        " + ".join(_frames(recipe.model) for recipe in recipes),
        " + ".join(dict.fromkeys(_test(recipe) for recipe in recipes)),
        flops,
        f"{adds(compared.macs_counted)} of {compared.paper.counted_px}²",
        adds(compared.macs_train_crop),
        adds(compared.macs_test_crop),
        params,
        _params(compared),
        shifted_cell(count(recipes[0].model)),
    ]


def _compared(paper: PaperTable, line: Line) -> Comparison | None:
    cost = paper_cost(paper, line.printed[0])
    return compare(cost) if cost and line.printed[0].is_built else None


def _network(model: ModelConfig) -> str:
    """For example `resnet50`, or with what another paper puts into it."""
    name = f"`{model.backbone}`"
    if model.non_local:
        name += " with non-local blocks"
    return name if model.system is None else f"{name} with {model.system.upper()}"


def _frames(model: ModelConfig) -> str:
    view = model.view
    places = f"{view.num_positions}"
    return places if view.consecutive == 1 else f"{places} × {view.consecutive}"


def _test(recipe: Recipe) -> str:
    test = recipe.test
    return f"{test.clips} × {test.crops} of {test.crop_px}²"


def _params(compared: Comparison) -> str:
    if not compared.training_params:
        return mega(compared.params)
    return f"{mega(compared.params)}, {mega(compared.params - compared.training_params)} in a test"
