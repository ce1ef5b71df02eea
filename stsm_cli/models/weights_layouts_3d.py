"""Layouts of networks of 3D convolutions.

Sources: facebookresearch/SlowFast, slowfast/models/video_model_builder.py and resnet_helper.py;
SimilarityGuidedSampling/Similarity-Guided-Sampling, the same files below sgs/;
facebookresearch/VMZ, pt/vmz/models/utils.py; xhl-video/SmallBigNet, models/blocks.py;
piergiaj/pytorch-i3d, pytorch_i3d.py; hassony2/kinetics_i3d_pytorch, src/i3dpt.py; mmaction2 v1.2.0,
mmaction/models/backbones/resnet3d_slowfast.py and models/heads/slowfast_head.py.
"""

import re
from typing import TYPE_CHECKING

from stsm_cli.models.weights_layout import Forms, Layout, Rules, flat_classifier
from stsm_cli.models.weights_layouts_2d import MMACTION2

if TYPE_CHECKING:
    from torch import Tensor

_PATHWAYS = ("slow", "fast")


def _from_pyslowfast(match: re.Match[str]) -> str:
    stage, pathway, block, branch, norm = match.groups()
    if branch == "1":
        part = "downsample.1" if norm else "downsample.0"
    else:
        part = f"{'bn' if norm else 'conv'}{'abc'.index(branch[-1]) + 1}"
    return f"backbone.{_PATHWAYS[int(pathway)]}.layer{int(stage) - 1}.{block}.{part}."


def _slow_first(weight: "Tensor") -> "Tensor":
    """(K, C) with the slow features before the fast ones, which are an eighth of them."""
    return weight.roll(-(weight.shape[1] // 9), 1) if weight.ndim == 2 else weight


_PYSLOWFAST: Rules = (
    (r"^head\.projection\.", "fc."),
    (r"^s1\.pathway(\d)_stem\.", lambda match: f"backbone.{_PATHWAYS[int(match[1])]}."),
    (r"^(backbone\.(?:slow|fast))\.(conv|bn)\.", r"\1.\g<2>1."),
    (r"^s(\d)_fuse\.", lambda match: f"backbone.laterals.{int(match[1]) - 1}."),
    (r"\.conv_f2s\.", ".conv."),
    (r"^s(\d)\.pathway(\d)_res(\d+)\.branch(1|2\.[abc])(_bn)?\.", _from_pyslowfast),
)
_ATFR: Rules = (
    *_PYSLOWFAST,
    (
        r"^s2\.pathway(\d)_ts_layer\.",  # behind the last of res2's three blocks
        lambda match: f"backbone.{_PATHWAYS[int(match[1])]}.layer1.2.sampler.",
    ),
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
    (r"\.big([123])\.1\.", r".big\1."),
    (r"\.(\d+)\.big4_1\.", r".extra\1.reduce."),
    (r"\.(\d+)\.big4_2\.0\.", r".extra\1.widen."),
    (r"\.(\d+)\.big4_2\.1\.", r".extra\1.bn."),
)
_STEPS = {"": "", "a": ".0", "b": ".1"}
_I3D: Rules = (  # of both ports; the second writes it all small, and a branch in full
    (r"^(?:logits|conv3d_0c_1x1)\.conv3d\.", "fc."),
    (r"^[Cc]onv3d_1a_7x7\.", "backbone.conv1."),
    (r"^[Cc]onv3d_2b_1x1\.", "backbone.conv2."),
    (r"^[Cc]onv3d_2c_3x3\.", "backbone.conv3."),
    (
        r"^[Mm]ixed_(\d)([b-f])\.",  # its letters count the pool before the blocks, too
        lambda match: f"backbone.inception{match[1]}{chr(ord(match[2]) - 1)}.",
    ),
    (
        r"\.b(?:ranch_)?(\d)([ab]?)\.",
        lambda match: f".branch{int(match[1]) + 1}{_STEPS[match[2]]}.",
    ),
    (r"\.conv3d\.", ".conv."),
    (r"\.batch3d\.", ".bn."),
)
_I3D_FORMS: Forms = (
    (r"^fc\.weight$", flat_classifier),  # (K, C, 1, 1, 1) -> (K, C)
)
_MMACTION2: Rules = (
    (r"^backbone\.slow_path\.conv1_lateral\.", "backbone.laterals.0."),
    (r"^backbone\.slow_path\.layer(\d)_lateral\.", r"backbone.laterals.\1."),
    (r"^backbone\.(slow|fast)_path\.", r"backbone.\1."),
    *MMACTION2.rules,
)


PYSLOWFAST_ATFR = Layout(
    source="pyslowfast",
    networks="SlowFast + ATFR of its authors",
    marks=(r"^s1\.", r"^s2\.pathway1_ts_layer\."),
    rules=_ATFR,
    recipes=(
        "k400/slowfast_atfr_r50_4x16",
        "k400/slowfast_atfr_r50_8x8",
        "sthv2/slowfast_atfr_r50_16x8",
    ),
)
PYSLOWFAST_SLOWFAST = Layout(
    source="pyslowfast",
    networks="SlowFast of its authors",  # trap: no tensor tells its α, nor its frames
    marks=(r"^s1\.", r"\.pathway1_"),
    rules=_PYSLOWFAST,
    recipes=("k400/slowfast_r50_4x16", "k400/slowfast_r50_8x8", "sthv2/slowfast_r50_16x8"),
)
PYSLOWFAST_SLOWONLY = Layout(
    source="pyslowfast",
    networks="SlowOnly of its authors",
    marks=(r"^s1\.",),
    rules=(*_PYSLOWFAST, (r"^backbone\.slow\.", "backbone.")),
    recipes=("k400/slowonly_r50_4x16", "k400/slowonly_r50_8x8"),
)
VMZ = Layout(
    source="vmz",
    networks="R(2+1)D of its authors",
    marks=(r"^stem\.",),
    rules=_VMZ,
    recipes=("k400/r2plus1d_34_32f",),
)
SMALLBIG = Layout(
    source="smallbig",
    networks="SmallBigNet of its authors",
    marks=(r"\.big[123]\.1\.",),
    rules=_SMALLBIG,
    recipes=(
        "k400/smallbig_r50_8f",
        "k400/smallbig_extra_r50_8f",
        "sthv2/smallbig_r50_8f",
        "sthv2/smallbig_r50_16f",
    ),
)
MMACTION2_SLOWFAST = Layout(
    source="mmaction2",
    networks="SlowFast, 0.x and 1.x",
    marks=(r"^cls_head\.", r"^backbone\.slow_path\."),
    rules=_MMACTION2,
    forms=((r"^fc\.weight$", _slow_first),),
    recipes=("k400/mmaction2_v1_slowfast_r50_4x16", "k400/mmaction2_v1_slowfast_r50_8x8"),
)
I3D = Layout(
    source="i3d",
    networks="I3D of its ports to PyTorch",
    marks=(r"^[Cc]onv3d_1a_7x7\.",),
    rules=_I3D,
    forms=_I3D_FORMS,
    recipes=("k400/i3d_64f", "k400/i3d_flow_64f"),
)
