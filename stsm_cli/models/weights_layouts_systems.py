"""Layouts of what other papers put into 2D backbones.

Their code was made from that of TSM's authors, and names what is not new as theirs does.

Sources: V-Sense/ACTION-Net, models/action.py; Phoenix1327/tea-action-recognition,
ops/tea50_8f.py; MCG-NJU/TDN, ops/tdn_net.py and ops/base_module.py.
"""

from typing import TYPE_CHECKING

from stsm_cli.models.weights_layout import Forms, Layout, Rules
from stsm_cli.models.weights_layouts_2d import BASE_MODEL, INVERTED_RESIDUALS

if TYPE_CHECKING:
    from torch import Tensor


def _column(weight: "Tensor") -> "Tensor":
    return weight[..., None] if weight.ndim == 3 else weight


_ALONG_TIME: Forms = ((r"\.shift(s\.\d)?\.conv\.weight$", _column),)  # (C, 1, 3) -> (C, 1, 3, 1)
_ACTION: Rules = (
    *BASE_MODEL,
    *INVERTED_RESIDUALS,
    (r"\.net\.", ".conv."),
    (r"\.action_shift\.", ".shift.conv."),
    (r"\.action_p1_conv1\.", ".spatiotemporal.conv."),
    (r"\.action_p2_squeeze\.", ".channel.reduce."),
    (r"\.action_p2_conv1\.", ".channel.conv."),
    (r"\.action_p2_expand\.", ".channel.expand."),
    (r"\.action_p3_squeeze\.", ".motion.motion.reduce."),
    (r"\.action_p3_bn1\.", ".motion.motion.bn."),
    (r"\.action_p3_conv1\.", ".motion.motion.transform."),
    (r"\.action_p3_expand\.", ".motion.expand."),
)
_TEA: Rules = (
    *BASE_MODEL,
    (r"\.me\.conv1\.", ".me.motion.reduce."),
    (r"\.me\.bn1\.", ".me.motion.bn."),
    (r"\.me\.conv2\.", ".me.motion.transform."),
    (r"\.me\.conv3\.", ".me.expand."),
    (r"\.me\.bn3\.", ".me.bn."),
)
_TDN: Rules = (
    *BASE_MODEL,
    (r"\.conv1_5\.", ".stem_difference."),
    (r"\.resnext_layer1\.", ".layer1_difference."),
    (r"\.layer(\d)_bak\.", r".layer\1."),
    (r"(\.layer[234]\.\d+)\.conv2\.", r"\1.conv2.conv."),
    (r"\.shift\.conv\.", ".conv2.shift.conv."),
    (r"\.mse\.(conv|bn)3_smallscale2\.", r".mse.\1_half."),
    (r"\.mse\.(conv|bn)3_smallscale4\.", r".mse.\1_full."),
    (r"\.mse\.conv1\.", ".mse.motion.reduce."),
    (r"\.mse\.bn1\.", ".mse.motion.bn."),
    (r"\.mse\.conv2\.", ".mse.motion.transform."),
    (r"\.mse\.conv3\.", ".mse.expand."),
    (r"\.mse\.bn3\.", ".mse.bn."),
    (r"\.mse\.", ".conv2.difference."),
)
_BEFORE_NORMS: Rules = (
    (r"\.conv(\d)(?:\.conv)?\.weight$", r".bn\1.running_mean"),
    (r"\.downsample\.0\.weight$", ".downsample.1.running_mean"),
)

ACTION = Layout(
    source="action",
    networks="ACTION-Net",
    marks=(r"^base_model\.", r"\.action_shift\."),
    rules=_ACTION,
    forms=_ALONG_TIME,
    recipes=("sthv2/action_r50_8f", "sthv2/action_r50_16f", "sthv2/action_mobilenet_v2_8f"),
)
TEA = Layout(
    source="tea",
    networks="TEA",
    marks=(r"^base_model\.", r"\.me\.conv1\."),
    rules=_TEA,
    forms=_ALONG_TIME,
    recipes=("k400/tea_r50_8f", "sthv2/tea_r50_8f", "sthv2/mg_tea_r50_8f"),
)
TDN = Layout(
    source="tdn",
    networks="TDN",
    marks=(r"^base_model\.", r"\.layer\d_bak\."),
    rules=_TDN,
    forms=_ALONG_TIME,
    folded=_BEFORE_NORMS,
    unused=r"^base_model\.conv1_temp\.",  # never called, and no part of what training changes
    recipes=("k400/tdn_r50_8f", "sthv2/tdn_r50_8f"),
)
"""Parameters of 174 classes: the authors' 24,420,046 are our 24,382,606, 27,968 biases that the
norms behind them take in, and 9,472 of a convolution that is never called."""
