"""Printed costs of networks, beside what those networks cost, and why they differ.

A reason that counts give is computed: it is given because the numbers say so. The others stand
beside the printed row (`datasets/paper/table<N>.yaml`), with their source and without a number.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_DOWN, Decimal

from stsm_cli.analysis.cells import adds, mega
from stsm_cli.analysis.cost import Cost, LayerCost, model_cost
from stsm_cli.analysis.paper import Reason
from stsm_cli.analysis.printed_cost import PaperCost, paper_costs, reason_networks, unshifted
from stsm_cli.config.schema import ModelConfig

TRAIN_CROP_PX = 224  # paper 4.2
TEST_CROP_PX = 256  # paper 4.2
ACTIVATIONS = ("relu", "relu_", "hardtanh", "hardtanh_")  # the last two: ReLU6
HEADS = (83, 174, 400)  # classes of EgoGesture, Something-Something V1 and V2, Kinetics-400


@dataclass(frozen=True)
class Comparison:
    """A printed cost and the measured one, of the same frames and classes."""

    paper: PaperCost
    macs_train_crop: int
    """Multiply-adds of a view of 224² pixels."""
    macs_test_crop: int
    """Multiply-adds of a view of 256² pixels, which is what the paper tests on."""
    macs_counted: int
    """Multiply-adds of a view of the size that the printed cost is of."""
    params: int
    training_params: int
    """Those of the parameters that a test does not use."""
    reasons: tuple[str, ...]
    """Why printed and measured differ."""


def compare_with_paper(config: ModelConfig) -> tuple[Comparison, ...]:
    """Printed costs of the network of `config` and its frames, beside what they cost.

    Neither the shift nor the classes of `config` matter: a shift costs nothing, and each row is
    compared at its own data set's classes. A row of two streams is compared by the sum of both.
    """
    return tuple(
        compare(paper)
        for paper in paper_costs()
        if any(_without_classes(config) == _without_classes(own) for own in paper.networks)
    )


def _without_classes(config: ModelConfig) -> ModelConfig:
    return unshifted(config).model_copy(update={"num_classes": None})


def compare(paper: PaperCost) -> Comparison:
    """A printed cost beside the measured one."""
    sizes = (TRAIN_CROP_PX, TEST_CROP_PX, paper.counted_px)
    train, test, counted = (_cost(paper.networks, size) for size in sizes)
    if paper.is_system:
        computed = [*_system_macs_reasons(paper, counted), *_system_params_reasons(paper, counted)]
    else:
        computed = [*_macs_reasons(paper, train, test), *_params_reasons(paper, train)]
    return Comparison(
        paper=paper,
        macs_train_crop=train.macs,
        macs_test_crop=test.macs,
        macs_counted=counted.macs,
        params=train.params,
        training_params=train.training_params,
        reasons=(*computed, *(_told(reason, paper) for reason in paper.reasons)),
    )


def _cost(networks: Sequence[ModelConfig], size_px: int) -> Cost:
    """The sum of what some networks cost."""
    costs = [model_cost(network, size_px=size_px) for network in networks]
    return Cost(
        macs=sum(cost.macs for cost in costs),
        params=sum(cost.params for cost in costs),
        layers=tuple(layer for cost in costs for layer in cost.layers),
        skipped=sum((Counter(cost.skipped) for cost in costs), Counter()),
        uncounted=sum((Counter(cost.uncounted) for cost in costs), Counter()),
        sites=(),
        training_params=sum(cost.training_params for cost in costs),
    )


def _told(reason: Reason, paper: PaperCost) -> str:
    """A reason as it stands beside the row, with the costs that it names and its source."""
    cost = _cost(reason_networks(paper, reason), paper.counted_px)
    text = reason.text.format(macs=adds(cost.macs), params=mega(cost.params))
    return f"{text} ({reason.source})"


def _with_classes(cost: Cost, before: int, after: int) -> Cost:
    """The cost with another number of classes: `fc` is the only layer that knows of them."""
    fc = _classifier(cost)
    other = replace(fc, macs=fc.macs // before * after, params=fc.params // before * after)
    return replace(
        cost,
        macs=cost.macs - fc.macs + other.macs,
        params=cost.params - fc.params + other.params,
        layers=tuple(other if layer is fc else layer for layer in cost.layers),
    )


def _classifier(cost: Cost) -> LayerCost:
    return next(layer for layer in cost.layers if layer.name == "fc")


def _macs_reasons(paper: PaperCost, train: Cost, test: Cost) -> list[str]:
    """Why a view is not what is printed."""
    printed = _number(paper.gflops.split("×")[0].rstrip("G"))
    if printed is None or rounds_to(test.macs / 1e9, printed):
        return []
    plain, counted_more = train.macs / 1e9, with_elementwise(paper, train) / 1e9
    if not rounds_to(plain, printed) and not rounds_to(counted_more, printed):
        return [f"no known count gives {printed} G; a view of {TRAIN_CROP_PX}² is {plain:.2f} G"]
    reasons = [
        f"{printed} G is a view of {TRAIN_CROP_PX}² pixels; the tests see {TEST_CROP_PX}² "
        f"(paper 4.2), where a view costs {test.macs / 1e9:.2f} G"
    ]
    if not rounds_to(plain, printed):
        classes = implied_head(paper, train)
        head = "" if classes == paper.num_classes else f" with a head of {classes} classes"
        reasons.append(
            f"{printed} G counts batch norm (2 an element) and activations (1) too, "
            f"{counted_more:.3f} G{head}; the multiply-adds alone are {plain:.2f} G"
        )
    return reasons


def _params_reasons(paper: PaperCost, cost: Cost) -> list[str]:
    heads = _heads(paper, cost)
    if heads is None:
        return []
    return [
        f"{paper.params} is a head of {heads[0]} to {heads[1]} classes; "
        f"with {paper.num_classes} classes it is {cost.params / 1e6:.2f}M"
    ]


def _system_macs_reasons(paper: PaperCost, cost: Cost) -> list[str]:
    """What is printed of a view, in terms of what is counted."""
    printed = _number(paper.gflops.split("×")[0])
    if printed is None:
        return []
    plain, counted_more = cost.macs / 1e9, with_elementwise(paper, cost) / 1e9
    view = f"a view of {paper.counted_px}² pixels"
    if rounds_to(plain, printed):
        text = f"{printed} G is {view}"
    elif rounds_to(counted_more, printed):
        text = f"{printed} G is {view} with batch norm (2 an element) and activations (1) too"
    elif _is_cut(plain, printed):
        text = f"{printed} G is {view}, {plain:.2f} G cut short"
    else:
        text = (
            f"no known count gives {printed} G; {view} is {plain:.2f} G, with batch norm and "
            f"activations {counted_more:.2f} G"
        )
    if len(paper.networks) > 1:
        text += ", of both networks; what it costs to compute optical flow is not counted"
    return [text]


def _system_params_reasons(paper: PaperCost, cost: Cost) -> list[str]:
    printed, params = _number(paper.params.rstrip("M")), cost.params / 1e6
    if printed is None or rounds_to(params, printed):
        return []
    if _is_cut(params, printed):
        return [f"{paper.params} is {params:.2f}M cut short"]
    is_one = [layer.name for layer in cost.layers].count("fc") == 1
    low, high = (is_one and _heads(paper, cost)) or (0, 0)
    if any(low <= classes <= high for classes in HEADS):
        return _params_reasons(paper, cost)
    return [f"no known count gives {paper.params}; it is {params:.2f}M"]


def _heads(paper: PaperCost, cost: Cost) -> tuple[int, int] | None:
    """The least and most classes that give the printed #Para; None where `cost` does."""
    printed = _number(paper.params.rstrip("M"))
    if printed is None or rounds_to(cost.params / 1e6, printed):
        return None
    fc = _classifier(cost)
    per_class, body = fc.params // paper.num_classes, cost.params - fc.params
    low, high = (int((printed + sign * _half_unit(printed)) * 10**6) for sign in (-1, 1))
    return -((body - low) // per_class), (high - body) // per_class


def implied_head(paper: PaperCost, cost: Cost) -> int:
    """The least classes that the printed #Para has a head for; in other systems the data set's."""
    heads = None if paper.is_system else _heads(paper, cost)
    return paper.num_classes if heads is None else heads[0]


def with_elementwise(paper: PaperCost, cost: Cost) -> int:
    """Multiply-adds, and what some counters add to them: batch norm and activations.

    They are those of a head with the classes of the printed #Para, but in other systems.
    """
    classes = implied_head(paper, cost)
    if classes != paper.num_classes:
        cost = _with_classes(cost, paper.num_classes, classes)
    activations = sum(cost.skipped.get(name, 0) for name in ACTIVATIONS)
    return cost.macs + 2 * cost.skipped["batch_norm"] + activations


def _number(printed: str) -> Decimal | None:
    return None if printed == "-" else Decimal(printed)


def _half_unit(printed: Decimal) -> Decimal:
    """Half a unit of the last printed digit."""
    return Decimal(5).scaleb(int(printed.as_tuple().exponent) - 1)


def rounds_to(value: float, printed: Decimal) -> bool:
    """True if a value, rounded to the digits of `printed`, is `printed`."""
    return abs(Decimal(value) - printed) <= _half_unit(printed)


def _is_cut(value: float, printed: Decimal) -> bool:
    """True if a value, cut after the digits of `printed`, is `printed`."""
    return Decimal(value).quantize(printed, ROUND_DOWN) == printed
