"""Names of tensors in other projects' checkpoints, and here.

Ours are torchvision's names behind `backbone.`, and `fc.{weight,bias}`; non-local blocks are called
as in `non_local.py`. A name without a counterpart here stays as it is, and fits no network.

Sources: mmaction2 v1.2.0, mmaction/models/backbones/resnet_tsm.py and mobilenet_v2_tsm.py;
mit-han-lab/temporal-shift-module, ops/models.py, ops/non_local.py and archs/mobilenet_v2.py;
facebookresearch/SlowFast, slowfast/models/video_model_builder.py and resnet_helper.py;
facebookresearch/VMZ, pt/vmz/models/utils.py; xhl-video/SmallBigNet, models/blocks.py.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate
from typing import Literal

Source = Literal["mmaction2", "mit", "torchvision", "pyslowfast", "vmz", "smallbig"]
Rules = Sequence[tuple[str, str | Callable[[re.Match[str]], str]]]

STAGES = (1, 2, 3, 4, 3, 3, 1)  # inverted residuals of MobileNetV2's `layer1` to `layer7`
_BEFORE = (0, 0, *accumulate(STAGES))  # by number of the layer: the blocks in those before it


def our_names(names: Iterable[str], source: Source) -> dict[str, str]:
    """For each of a checkpoint's tensors, the name that it has here.

    A shifted convolution (`conv1.net.weight`) is called as a plain one.
    """
    plain = {name: name.removeprefix("module.").replace(".net.", ".") for name in names}
    rules = _RULES[source]
    if source == "mmaction2" and any(name.startswith("backbone.conv2.") for name in plain.values()):
        rules = _MMACTION2_MOBILENET
    if source == "pyslowfast" and not any(".pathway1_" in name for name in plain.values()):
        rules = (*rules, (r"^backbone\.slow\.", "backbone."))  # SlowOnly
    return {name: _renamed(bare, rules) for name, bare in plain.items()}


def looks_like(names: Iterable[str]) -> Source | Literal["stsm"] | None:
    """The project that calls its tensors so, as far as the names tell."""
    names = {name.removeprefix("module.") for name in names}
    roots = {name.partition(".")[0] for name in names}
    if "cls_head" in roots:
        return "mmaction2"
    if "base_model" in roots:
        return "mit"
    if {"backbone", "fc"} <= roots:
        return "stsm"
    if "s1" in roots:
        return "pyslowfast"
    if "stem" in roots:
        return "vmz"
    if any(".big1." in name for name in names):
        return "smallbig"
    if names & {"conv1.weight", "features.0.0.weight"}:
        return "torchvision"
    return None


def _renamed(name: str, rules: Rules) -> str:
    for pattern, replacement in rules:
        name = re.sub(pattern, replacement, name)
    return name


def _inverted_residual(block: int, pair: int, is_norm: bool) -> str:
    """Torchvision's name of a convolution, or of its batch norm, in a block of MobileNetV2.

    Args:
        block: From 1 to 17; the first has no expansion.
        pair: Which convolution of the block, from 0.
        is_norm: Whether the batch norm behind it is meant.
    """
    is_last = pair == (1 if block == 1 else 2)  # the projection stands without an activation
    layer = str(pair + is_norm) if is_last else f"{pair}.{int(is_norm)}"
    return f"features.{block}.conv.{layer}."


def _from_mmaction2(match: re.Match[str]) -> str:
    layer, block, pair, kind = match.groups()
    return _inverted_residual(_BEFORE[int(layer)] + int(block) + 1, int(pair), kind == "bn")


def _from_mit(match: re.Match[str]) -> str:
    block, place = map(int, match.groups())  # in its sequence: convolution, norm, ReLU6, ...
    return _inverted_residual(block, place // 3, place % 3 == 1)


_MMACTION2: Rules = (
    (r"^cls_head\.fc_cls\.", "fc."),
    (r"\.block\.", "."),
    (r"\.conv(\d)\.conv\.", r".conv\1."),
    (r"\.conv(\d)\.bn\.", r".bn\1."),
    (r"\.downsample\.conv\.", ".downsample.0."),
    (r"\.downsample\.bn\.", ".downsample.1."),
    (r"\.(\d+)\.non_local_block\.(theta|phi\.0|g\.0)\.conv\.", r".non_local\1.\2."),
    (r"\.(\d+)\.non_local_block\.conv_out\.conv\.", r".non_local\1.conv_out."),
    (r"\.(\d+)\.non_local_block\.conv_out\.bn\.", r".non_local\1.bn."),
    (r"\.(phi|g)\.0\.", r".\1."),  # behind the 0 stands the pooling
)
_MMACTION2_MOBILENET: Rules = (
    (r"^cls_head\.fc_cls\.", "fc."),
    (r"^backbone\.conv1\.conv\.", "backbone.features.0.0."),
    (r"^backbone\.conv1\.bn\.", "backbone.features.0.1."),
    (r"layer([1-7])\.(\d)\.conv\.(\d)\.(conv|bn)\.", _from_mmaction2),
    (r"^backbone\.conv2\.conv\.", "backbone.features.18.0."),
    (r"^backbone\.conv2\.bn\.", "backbone.features.18.1."),
)
_MIT: Rules = (
    (r"^new_fc\.", "fc."),
    (r"^base_model\.(fc|classifier)\.", "fc."),  # where it was trained without dropout
    (r"^base_model\.", "backbone."),
    (r"\.block\.", "."),
    (r"\.(\d+)\.nl\.(theta|phi\.0|g\.0)\.", r".non_local\1.\2."),
    (r"\.(\d+)\.nl\.W\.0\.", r".non_local\1.conv_out."),
    (r"\.(\d+)\.nl\.W\.1\.", r".non_local\1.bn."),
    (r"\.(phi|g)\.0\.", r".\1."),  # behind the 0 stands the pooling
    (r"features\.(\d+)\.conv\.(\d)\.", _from_mit),
)
_TORCHVISION: Rules = (
    (r"^classifier\.1\.", "fc."),
    (r"^(?!fc\.)", "backbone."),
)
_PATHWAYS = ("slow", "fast")


def _from_pyslowfast(match: re.Match[str]) -> str:
    stage, pathway, block, branch, norm = match.groups()
    if branch == "1":
        part = "downsample.1" if norm else "downsample.0"
    else:
        part = f"{'bn' if norm else 'conv'}{'abc'.index(branch[-1]) + 1}"
    return f"backbone.{_PATHWAYS[int(pathway)]}.layer{int(stage) - 1}.{block}.{part}."


_PYSLOWFAST: Rules = (
    (r"^head\.projection\.", "fc."),
    (r"^s1\.pathway(\d)_stem\.", lambda match: f"backbone.{_PATHWAYS[int(match[1])]}."),
    (r"^(backbone\.(?:slow|fast))\.(conv|bn)\.", r"\1.\g<2>1."),
    (r"^s(\d)_fuse\.", lambda match: f"backbone.laterals.{int(match[1]) - 1}."),
    (r"\.conv_f2s\.", ".conv."),
    (r"^s(\d)\.pathway(\d)_res(\d+)\.branch(1|2\.[abc])(_bn)?\.", _from_pyslowfast),
)
_BETWEEN = {"0": "space", "1": "bn", "3": "time"}
_STEM = {"0": "0.space", "1": "0.bn", "3": "0.time", "4": "1"}
_VMZ: Rules = (
    (r"^(?!fc\.)", "backbone."),
    (r"^backbone\.stem\.([0134])\.", lambda match: f"backbone.stem.{_STEM[match[1]]}."),
    (r"\.conv(\d)\.0\.([013])\.", lambda match: f".conv{match[1]}.{_BETWEEN[match[2]]}."),
    (r"\.conv(\d)\.1\.", r".bn\1."),
)
_SMALLBIG: Rules = (
    (r"^(?!fc\.)", "backbone."),
    (r"\.big(\d)\.1\.", r".big\1."),
)
_RULES: dict[Source, Rules] = {
    "mmaction2": _MMACTION2,
    "mit": _MIT,
    "torchvision": _TORCHVISION,
    "pyslowfast": _PYSLOWFAST,
    "vmz": _VMZ,
    "smallbig": _SMALLBIG,
}
