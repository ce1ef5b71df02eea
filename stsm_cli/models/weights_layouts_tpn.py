"""Layouts of TPN, on TSM and on SlowOnly.

Its auxiliary head has a place here too: weights to start from bring it along.

Sources: decisionforce/TPN, mmaction/models/tenons/necks/tpn.py and backbones/resnet.py;
mmaction2 v1.2.0, mmaction/models/necks/tpn.py.
"""

from stsm_cli.models.weights_layout import Layout, Rules
from stsm_cli.models.weights_layouts_2d import MMACTION2

_FUSIONS: Rules = (
    (r"\.ops\.(\d)\.conv\.", r".levels.\1.0."),
    (r"\.ops\.(\d)\.norm\.", r".levels.\1.1."),
    (r"\.fusion_conv\.", ".fuse."),
)
_TPN: Rules = (
    (r"\.net\.", "."),
    (r"^cls_head\.fc_cls\.", "fc."),
    (r"^necks\.aux_head\.convs\.conv\.", "auxiliary.conv.0."),
    (r"^necks\.aux_head\.convs\.bn\.", "auxiliary.conv.1."),
    (r"^necks\.aux_head\.", "auxiliary."),
    (r"^necks\.spatial_modulation\.spatial_modulation\.0\.0\.conv\.", "necks.spatial.0."),
    (r"^necks\.spatial_modulation\.spatial_modulation\.0\.0\.bn\.", "necks.spatial.1."),
    (r"^necks\.temporal_modulation_ops\.(\d)\.conv\.", r"necks.temporal.\1."),
    (r"^necks\.downsampling_ops\.0\.conv\.", "necks.rise."),
    (r"^necks\.level_fusion_op2\.", "necks.down."),
    (r"^necks\.level_fusion_op\.", "necks.up."),
    (r"^necks\.pyramid_fusion_op\.", "necks.fuse."),
    *_FUSIONS,
    (r"^necks\.", "backbone.pyramid."),
)
_MMACTION2: Rules = (
    (r"^neck\.aux_head\.", "auxiliary."),
    (r"^neck\.spatial_modulation\.spatial_modulation\.0\.0\.", "neck.spatial."),
    (r"^neck\.temporal_modulation_ops\.(\d)\.conv\.conv\.", r"neck.temporal.\1."),
    (r"^neck\.downsample_ops\.0\.conv\.conv\.", "neck.rise."),
    (r"^neck\.level_fusion_1\.", "neck.down."),
    (r"^neck\.level_fusion_2\.", "neck.up."),
    (r"^neck\.pyramid_fusion\.", "neck.fuse."),
    (r"\.downsamples\.(\d)\.conv\.", r".levels.\1."),
    (r"\.fusion_conv\.", ".fuse."),
    (r"^((?:neck|auxiliary)\..+)\.conv\.", r"\1.0."),
    (r"^((?:neck|auxiliary)\..+)\.bn\.", r"\1.1."),
    (r"^neck\.", "backbone.pyramid."),
    *MMACTION2.rules,
)

TPN = Layout(
    source="tpn",
    networks="TPN of its authors",
    marks=(r"^necks\.", r"^cls_head\."),
    rules=_TPN,
    shifted=r"backbone\.layer\d\.\d+\.(conv1|downsample\.0)\.",  # always, in their 2D networks
    fixed_share=True,
    recipes=("sthv2/tsm_tpn_r50_8f", "k400/tpn_slowonly_r50_8f"),
)
MMACTION2_TPN = Layout(
    source="mmaction2",
    networks="TPN, 1.x",
    marks=(r"^neck\.", r"^cls_head\."),
    rules=_MMACTION2,
    shifted=MMACTION2.shifted,
    recipes=("sthv2/mmaction2_v1_tsm_tpn_r50_8f", "k400/mmaction2_v1_tpn_slowonly_r50_8f"),
)
