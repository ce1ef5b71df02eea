"""Layouts of TRN on BN-Inception, and of BN-Inception as a classifier of pictures.

Both name the network's layers as the Caffe model does from which it was ported.

Sources: zhoubolei/TRN-pytorch, models.py and TRNmodule.py; yjxiong/tensorflow-model-zoo.torch,
bninception/bn_inception.yaml.
"""

import re
from typing import TYPE_CHECKING

from stsm_cli.models.weights_layout import Forms, Layout, Rules

if TYPE_CHECKING:
    from torch import Tensor

_STEM = {"conv1_7x7_s2": "conv1", "conv2_3x3_reduce": "conv2", "conv2_3x3": "conv3"}
_BRANCHES = {
    "1x1": "branch1",
    "3x3_reduce": "branch2.0",
    "3x3": "branch2.1",
    "double_3x3_reduce": "branch3.0",
    "double_3x3_1": "branch3.1",
    "double_3x3_2": "branch3.2",
    "pool_proj": "branch4",
}


def _in_stem(match: re.Match[str]) -> str:
    return f"backbone.stem.{_STEM[match[1]]}.{'bn' if match[2] else 'conv'}."


def _in_block(match: re.Match[str]) -> str:
    block, branch, norm = match.groups()
    return f"backbone.blocks.{block}.{_BRANCHES[branch]}.{'bn' if norm else 'conv'}."


def _rgb(weight: "Tensor") -> "Tensor":
    return weight.flip(1) if weight.ndim == 4 and weight.shape[1] == 3 else weight  # of BGR


_BODY: Rules = (
    (rf"^({'|'.join(_STEM)})(_bn)?\.", _in_stem),
    (rf"^inception_(\d\w)_({'|'.join(_BRANCHES)})(_bn)?\.", _in_block),
)
_TRN: Rules = (
    (r"^base_model\.", ""),
    *_BODY,
    (r"^new_fc\.", "relations.project."),
    (r"^consensus\.fc_fusion_scales\.(\d+)\.1\.", r"relations.between.\1."),
    (r"^consensus\.fc_fusion_scales\.(\d+)\.3\.(weight|bias)$", r"fc.\2.\1"),
)
_FORMS: Forms = (
    (r"^backbone\.stem\.conv1\.conv\.weight$", _rgb),
    (r"\.bn\.", lambda tensor: tensor.flatten() if tensor.ndim else tensor),  # (1, C) -> (C)
)

TRN = Layout(
    source="trn",
    networks="MultiScale TRN on BN-Inception, RGB and flow",
    marks=(r"^base_model\.conv1_7x7_s2\.", r"^consensus\.fc_fusion_scales\."),
    rules=_TRN,
    forms=_FORMS,
    stacked=r"^(fc\.\w+)\.(\d+)$",
    recipes=("sthv2/trn_bninception_8f", "sthv2/trn_flow_bninception_8f"),
)
BNINCEPTION = Layout(
    source="bninception",
    networks="classifiers of pictures, ported from Caffe",
    marks=(r"^conv1_7x7_s2\.", r"^inception_3a_1x1\."),
    rules=_BODY,
    forms=_FORMS,
    bodies=("bninception",),
)
