"""Layout of SELFYNet, whose authors released it on TSM alone.

Source: arunos728/SELFY, ops/selfy.py, ops/resnet_TSM.py and ops/models.py.
"""

import re
from typing import TYPE_CHECKING

from stsm_cli.models.weights_layout import Forms, Layout, Rules, flat_classifier

if TYPE_CHECKING:
    from torch import Tensor


_PARTS = {"extraction": "extract", "integration": "integrate"}


def _flat(tensor: "Tensor") -> "Tensor":
    return tensor.squeeze(2) if tensor.ndim == 5 else tensor


def _sequence(match: re.Match[str]) -> str:
    """Their `conv1.0`, each step a sequence of three, in a sequence of all steps."""
    part, step, place = match.groups()
    return f".selfy.{_PARTS[part]}.{3 * int(step) + int(place)}."


_RULES: Rules = (
    (r"^new_fc\.", "fc."),
    (r"^base_model\.", "backbone."),
    (r"\.selfy\.stss_transformation\.downsample\.0\.", ".selfy.similarity.conv."),
    (r"\.selfy\.stss_transformation\.downsample\.1\.", ".selfy.similarity.bn."),
    (r"\.selfy\.stss_(extraction|integration)\.conv(\d)\.(\d)\.", _sequence),
    (r"\.selfy\.stss_integration\.conv3_fuse\.1\.", ".selfy.fuse.0."),
    (r"\.selfy\.stss_integration\.conv3_fuse\.2\.", ".selfy.fuse.1."),
    (r"\.selfy\.stss_integration\.upsample\.0\.", ".selfy.expand."),
    (r"\.selfy\.stss_integration\.upsample\.1\.", ".selfy.bn."),
    (r"\.selfy\.", ".layer2.selfy."),
)
_FORMS: Forms = (
    (r"\.selfy\.", _flat),  # kernels that see one frame: (D, C, 1, 3, 3) -> (D, C, 3, 3)
    (r"^fc\.weight$", flat_classifier),  # (K, C, 1) -> (K, C)
)

SELFY = Layout(
    source="selfy",
    networks="SELFYNet on TSM",
    marks=(r"^base_model\.selfy\.",),
    rules=_RULES,
    forms=_FORMS,
    shifted=r"base_model\.layer\d\.\d+\.conv1\.",  # always; they shift in the block's code
    fixed_share=True,
    recipes=("sthv2/tsm_selfy_r50_8f",),
)
