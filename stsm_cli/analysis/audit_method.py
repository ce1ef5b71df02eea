"""The audit of the paper's section 3 and of what α means in 5.1: the operator and its channels."""

from collections import Counter
from fractions import Fraction

import torch
from torch import nn
from torchvision.models.resnet import Bottleneck

from stsm_cli.analysis.cost import Cost, model_cost
from stsm_cli.analysis.finding import Finding
from stsm_cli.analysis.paper import load_paper_table
from stsm_cli.config.schema import Backbone, ModelConfig, ShiftConfig
from stsm_cli.models.shift import channel_slices, insert_shift

STSM, STSM_ALPHA, TSM_ALPHA = "T+H+W", "3/8", "1/4"
SMALL_PX = 32  # what a shift adds, and where it stands, does not depend on the picture's size


def method_findings() -> list[Finding]:
    """In the paper's order."""
    return [
        _any_backbone(),
        _free(),
        _separately(),
        _example_of_64(),
        _whole_slices(),
        _mobilenet(),
        _share_of_time(),
    ]


def _any_backbone() -> Finding:
    rows = [row for table in (4, 5, 6, 7) for row in load_paper_table(table).rows if not row.cited]
    with_3d = [row for row in rows if "3D" in (row.backbone or "")]
    return Finding(
        "sections 1 and 3.1, Figure 2",
        "STSM goes into 2D and 3D networks",
        "“existing 2D CNNs or 3D CNNs backbones”",
        f"{len(with_3d)} of the {len(rows)} STSM rows of Tables 4 to 7 have a 3D backbone",
        "open: the operator is defined on 3D features, but the paper tests none",
    )


def _free() -> Finding:
    plain, shifted = _cost("resnet50", None), _cost("resnet50", STSM_ALPHA)
    return Finding(
        "sections 3 and 3.1",
        "the module is free",
        "“zero calculation and zero parameters”",
        f"in ResNet-50 it adds {shifted.macs - plain.macs} multiply-adds and "
        f"{shifted.params - plain.params} parameters",
        "holds: what it costs is the copying of memory, which neither count sees",
    )


def _separately() -> Finding:
    reach = {dims: reached_positions(dims, alpha) for dims, alpha in _SHIFTS.items()}
    diagonal = [place for place in reach["T"] if all(place)]
    return Finding(
        "section 3.1",
        "a network with TSM learns time and space apart, one with T+H+W jointly",
        "TSM can “only learn time features and spatial features separately”",
        f"an output of one residual block sees {len(reach[''])} positions without a shift, "
        f"{len(reach['T'])} with TSM, {len(diagonal)} of them off in T, H and W at once, and "
        f"{len(reach[STSM])} with T+H+W",
        "does not hold: the 3×3 convolution behind the shift joins time and space in TSM too; "
        "T+H+W sees further in space",
    )


_SHIFTS = {"": "0", "T": TSM_ALPHA, STSM: STSM_ALPHA}


def reached_positions(dims: str, alpha: str) -> set[tuple[int, int, int]]:
    """The offsets (t, y, x) of the inputs on which an output of one bottleneck depends.

    Found by the gradient of a block whose weights are all positive, so that nothing cancels.
    """
    frames, side = 5, 9
    block = nn.Sequential(Bottleneck(64, 16).eval())
    if dims:
        insert_shift(block, num_frames=frames, dims=dims, alpha=alpha)
    for parameter in block.parameters():
        nn.init.constant_(parameter, 1.0)
    x = torch.ones(frames, 64, side, side, requires_grad=True)
    block(x)[frames // 2, :, side // 2, side // 2].sum().backward()
    assert x.grad is not None  # filled by backward
    places = x.grad.sum(1).nonzero() - torch.tensor([frames // 2, side // 2, side // 2])
    return {(t, y, x) for t, y, x in places.tolist()}


def _example_of_64() -> Finding:
    sizes = _sizes(64, TSM_ALPHA)
    return Finding(
        "section 5.1",
        "at α=1/4 of 64 channels the 1st to the 16th move, the dimensions as equals",
        "“the 1st to 16th channels”",
        f"16 channels on 3 dimensions and 2 directions are {Fraction(16, 6)} each; here they move "
        f"in slices of {_plus(sizes)}",
        "inexact: the paper's own example does not divide",
    )


def _whole_slices() -> Finding:
    widths = sorted({site.channels for site in _cost("resnet50", STSM_ALPHA).sites})
    alphas = [row.setting for row in load_paper_table(1).rows if row.setting != "0"]
    broken = [a for a in alphas if any((Fraction(a) * w / 6).denominator > 1 for w in widths)]
    moved = [
        f"{alpha}: {_plus(_sizes(64, alpha))} = {sum(_sizes(64, alpha))}, "
        f"floored {_floored(64, alpha)}"
        for alpha in broken
    ]
    return Finding(
        "Table 1",
        "every α moves its share in equal parts along T, H and W",
        f"α = {', '.join(alphas)}",
        f"{len(broken)} of {len(alphas)} do not divide ResNet-50's widths "
        f"({', '.join(map(str, widths))}). Channels moved of 64: {'; '.join(moved)}",
        "not stated: how the paper rounds. Here the total is exact and slices differ by at most "
        "one; flooring each direction, as TSM does, moves fewer",
    )


def _mobilenet() -> Finding:
    widths = Counter(site.channels for site in _cost("mobilenet_v2", STSM_ALPHA).sites)
    broken = {w: n for w, n in widths.items() if (Fraction(STSM_ALPHA) * w / 6).denominator > 1}
    texts = [
        f"{n} of {sum(widths.values())} sites has {width} channels, "
        f"{float(Fraction(STSM_ALPHA) * width / 6)} a slice: here "
        f"{_plus(_sizes(width, STSM_ALPHA))} = {sum(_sizes(width, STSM_ALPHA))}, "
        f"floored {_floored(width, STSM_ALPHA)}"
        for width, n in broken.items()
    ]
    return Finding(
        "Tables 4 to 7, MobileNetV2",
        "α=3/8 in MobileNetV2",
        "“our α is set to 3/8”",
        "; ".join(texts),
        "not stated: how the paper rounds",
    )


def _share_of_time() -> Finding:
    shares = {alpha: sum(_sizes(64, alpha)[:2]) for alpha in (STSM_ALPHA, "3/4")}
    tsm = [part.stop - part.start for part in channel_slices(64, "T", TSM_ALPHA)]
    return Finding(
        "section 5.1",
        "TSM's α=1/4 is STSM's 3/4; at STSM's 3/8 only 1/8 of the channels move in time",
        "“equivalent to setting α=3/4 in our STSM”",
        f"of 64 channels {sum(tsm)} move in time in TSM, {shares['3/4']} at α=3/4 and "
        f"{shares[STSM_ALPHA]} at α=3/8",
        "holds: the share in time is the same; STSM moves as many again along H and along W",
    )


def _cost(backbone: Backbone, alpha: str | None) -> Cost:
    shift = None if alpha is None else ShiftConfig(dims=STSM, alpha=Fraction(alpha))
    return model_cost(
        ModelConfig(backbone=backbone, num_classes=400, shift=shift), size_px=SMALL_PX
    )


def _sizes(channels: int, alpha: str) -> list[int]:
    return [part.stop - part.start for part in channel_slices(channels, STSM, alpha)]


def _floored(channels: int, alpha: str) -> int:
    """How many would move if each direction of each axis were rounded down."""
    return 6 * int(Fraction(alpha) * channels / 6)


def _plus(sizes: list[int]) -> str:
    return "+".join(map(str, sizes))
