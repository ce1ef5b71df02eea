"""Layouts of networks that see frames one by one: TSN, TSM and classifiers of pictures.

Sources: mmaction2 v1.2.0, mmaction/models/backbones/resnet_tsm.py and mobilenet_v2_tsm.py;
mit-han-lab/temporal-shift-module, ops/models.py, ops/non_local.py and archs/mobilenet_v2.py.
"""

import re
from itertools import accumulate
from typing import TYPE_CHECKING

from stsm_cli.models.weights_layout import Forms, Layout, Rules

if TYPE_CHECKING:
    from torch import Tensor

STAGES = (1, 2, 3, 4, 3, 3, 1)  # inverted residuals of MobileNetV2's `layer1` to `layer7`
_BEFORE = (0, 0, *accumulate(STAGES))  # by number of the layer: the blocks in those before it


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


def _flat(tensor: "Tensor") -> "Tensor":
    return tensor.flatten(3) if tensor.shape[2:] == (1, 1, 1) else tensor


_SHIFT = r"\.net\."
_NON_LOCAL: Forms = ((r"\.non_local", _flat),)  # (D, C, 1, 1, 1) -> (D, C, 1, 1)
_MMACTION2: Rules = (
    (_SHIFT, "."),
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
# the other of two sets of weights that mmcv's EMAHook swaps; saved, the average has the names
_MMCV_AVERAGE = r"^ema_"
_MMACTION2_MOBILENET: Rules = (
    (_SHIFT, "."),
    (r"^cls_head\.fc_cls\.", "fc."),
    (r"^backbone\.conv1\.conv\.", "backbone.features.0.0."),
    (r"^backbone\.conv1\.bn\.", "backbone.features.0.1."),
    (r"layer([1-7])\.(\d)\.conv\.(\d)\.(conv|bn)\.", _from_mmaction2),
    (r"^backbone\.conv2\.conv\.", "backbone.features.18.0."),
    (r"^backbone\.conv2\.bn\.", "backbone.features.18.1."),
)
BASE_MODEL: Rules = (  # of the TSM authors' code, and of what was made from it
    (r"^new_fc\.", "fc."),
    (r"^base_model\.(fc|classifier)\.", "fc."),  # where it was trained without dropout
    (r"^base_model\.", "backbone."),
)
INVERTED_RESIDUALS: Rules = ((r"features\.(\d+)\.conv\.(\d)\.", _from_mit),)
_MIT: Rules = (
    (_SHIFT, "."),
    *BASE_MODEL,
    (r"\.block\.", "."),
    (r"\.(\d+)\.nl\.(theta|phi\.0|g\.0)\.", r".non_local\1.\2."),
    (r"\.(\d+)\.nl\.W\.0\.", r".non_local\1.conv_out."),
    (r"\.(\d+)\.nl\.W\.1\.", r".non_local\1.bn."),
    (r"\.(phi|g)\.0\.", r".\1."),  # behind the 0 stands the pooling
    *INVERTED_RESIDUALS,
)
_TORCHVISION: Rules = (
    (r"^classifier\.1\.", "fc."),
    (r"^(?!fc\.)", "backbone."),
)

_RESNETS = (
    "k400/tsm_r50_8f",
    "sthv2/tsm_r50_8f",
    "sthv2/tsm_r50_16f",
    "ucf101/tsm_r50_8f",
    "hmdb51/tsm_r50_8f",
    "k400/tsm_r50_nl_8f",
    "k400/tsn_r50_8f",
    "sthv2/tsn_r50_8f",
    "sthv2/tsn_r50_16f",
    "k400/tsn_r50_nl_8f",
)
_MOBILENETS = (
    "k400/tsm_mobilenet_v2_8f",
    "sthv2/tsm_mobilenet_v2_8f",
    "k400/tsn_mobilenet_v2_8f",
)
MMACTION2_MOBILENET = Layout(
    unused=_MMCV_AVERAGE,
    source="mmaction2",
    networks="MobileNetV2 of TSN and TSM",
    marks=(r"^cls_head\.", r"^backbone\.conv2\."),
    rules=_MMACTION2_MOBILENET,
    shifted=_SHIFT,
    recipes=_MOBILENETS,
    any_body=True,
)
MMACTION2 = Layout(
    unused=_MMCV_AVERAGE,
    source="mmaction2",
    networks="TSN, TSM and SlowOnly, 0.x and 1.x",
    marks=(r"^cls_head\.",),
    rules=_MMACTION2,
    forms=_NON_LOCAL,
    shifted=_SHIFT,
    recipes=(
        "k400/mmaction2_v1_tsm_r50_8f",
        "k400/mmaction2_v0_tsm_r50_8f",
        "sthv2/mmaction2_v1_tsm_r50_8f",
        "sthv2/mmaction2_v0_tsm_r50_8f",
        *_RESNETS,
        "k400/mmaction2_v1_slowonly_r50_4x16",
        "k400/mmaction2_v1_slowonly_r50_8x8",
    ),
    any_body=True,
)
MIT = Layout(
    source="mit",
    networks="TSN and TSM of TSM's authors",
    marks=(r"^base_model\.",),
    rules=_MIT,
    forms=_NON_LOCAL,
    folded=((r"\.conv_out\.weight$", ".bn.running_mean"),),
    shifted=_SHIFT,
    recipes=(*_RESNETS, *_MOBILENETS),
    any_body=True,
)
TORCHVISION = Layout(
    source="torchvision",
    networks="classifiers of pictures",
    marks=(r"^(conv1|features\.0\.0)\.weight$",),
    rules=_TORCHVISION,
    any_body=True,
)
