"""The audit of the labels in Tables 4 and 5 against the text and against what they cite."""

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models.video.resnet import (
    BasicBlock,
    Bottleneck,
    Conv2Plus1D,
    R2Plus1dStem,
    VideoResNet,
)

from stsm_cli.analysis.finding import Finding, quoted
from stsm_cli.analysis.paper import load_paper_table


def label_findings() -> list[Finding]:
    """In the order of the tables' rows."""
    return [
        _layers_of_r2plus1d(),
        _frames_of_r2plus1d(),
        _pretraining_of_slowfast(),
        _dimensions_of_tpn(),
        _dimensions_of_trn(),
        _dimensions_of_action_net(),
        _trn_twice(),
        _views_of_tdn(),
    ]


def r2plus1d(depth: int) -> nn.Module:
    """R(2+1)D of torchvision's parts, 400 classes, on the meta device: a body without values."""
    block = {34: BasicBlock, 50: Bottleneck}[depth]
    with torch.device("meta"):
        network: nn.Module = VideoResNet(
            block=block,
            conv_makers=[Conv2Plus1D] * 4,
            layers=[3, 4, 6, 3],
            stem=R2Plus1dStem,
            num_classes=400,
        )
    return network.eval()


def _millions(model: nn.Module) -> str:
    return f"{sum(parameter.numel() for parameter in model.parameters()) / 1e6:.1f}M"


def clip_gmacs(model: nn.Module, num_frames: int) -> float:
    """Multiply-adds of a clip of 112² pixels, in G; torch's counter reports two for each."""
    with FlopCounterMode(display=False) as counter:
        model(torch.empty(1, 3, num_frames, 112, 112, device="meta"))
    return float(counter.get_total_flops()) / 2e9


def _layers_of_r2plus1d() -> Finding:
    row = load_paper_table(4).row("R(2+1)D [28], (2+1)D R-50, 16")
    return Finding(
        "Table 4",
        "R(2+1)D has 50 layers",
        f"{row.backbone}, {row.params}",
        f"its authors give {quoted('r2plus1d_34_params').value}M for 34 layers; of torchvision's "
        f"parts 34 layers have {_millions(r2plus1d(34))}, 50 have {_millions(r2plus1d(50))}",
        "does not hold: the printed parameters are of the network with 34 layers",
        ("r2plus1d_34_params",),
    )


def _frames_of_r2plus1d() -> Finding:
    row = load_paper_table(4).row("R(2+1)D [28], (2+1)D R-50, 16")
    network = r2plus1d(34)
    costs = [f"{clip_gmacs(network, n):.0f} G with {n} frames" for n in (16, 32)]
    return Finding(
        "Table 4",
        "R(2+1)D sees 16 frames",
        f"#F {row.num_frames}, {row.flops}",
        f"34 layers of torchvision's parts on 112² pixels cost {', '.join(costs)}",
        "does not hold: the printed cost is near that of 32 frames",
    )


def _pretraining_of_slowfast() -> Finding:
    rows = [row for row in load_paper_table(4).rows if row.source == "[4]"]
    return Finding(
        "Table 4",
        "SlowOnly and SlowFast start from ImageNet",
        ", ".join(f"{row.setting} {row.pretrain} {row.top1}" for row in rows),
        f"MMAction2's own training, SlowOnly 4×16: {quoted('slowonly').value}; SlowFast 4×16: "
        f"{quoted('slowfast').value}",
        "open: the printed accuracies are near those of networks without",
        ("slowonly", "slowfast"),
    )


def _dimensions_of_tpn() -> Finding:
    row = load_paper_table(4).row("TSN-50 + TPN [36], 3D R-50, 8")
    return Finding(
        "Tables 4 and 5 against section 5.2",
        "TPN is a 3D network",
        f"{row.setting}: {row.backbone}; 5.2: it “also uses TSN [31] as the backbone”",
        "TSN is 2D everywhere else in the paper; section 2 puts TPN on a “2D or 3D backbone”",
        "contradiction: the table's label against the text",
    )


def _dimensions_of_trn() -> Finding:
    row = load_paper_table(5).row("MultiScale TRN [40], 3D BNInception, 8")
    return Finding(
        "Table 5 against section 2",
        "TRN is a 3D network",
        f"{row.setting}: {row.backbone}",
        "section 2 describes TRN under “2D CNNs”",
        "contradiction: TRN relates the features of single frames",
    )


def _dimensions_of_action_net() -> Finding:
    rows = [row for row in load_paper_table(5).rows if row.setting.startswith("ACTION-Net")]
    return Finding(
        "Table 5 against section 2",
        "ACTION-Net is a 3D network",
        ", ".join(f"{row.setting}: {row.backbone}" for row in rows[1:]),
        "section 2: its authors “embedded it in 2D CNNs”",
        "contradiction: as a 2D network it would stand before STSM in that comparison too",
    )


def _trn_twice() -> Finding:
    sources = {row.source for row in load_paper_table(5).rows if "TRN" in row.setting}
    return Finding(
        "References",
        "TRN",
        f"[39] in the text and Figure 1, {', '.join(sources)} in Table 5",
        "[39] and [40] are one paper, word for word",
        "inexact: a duplicate",
    )


def _views_of_tdn() -> Finding:
    row = load_paper_table(5).row("TDN [30], 2D R-50, 8")
    return Finding(
        "Table 5",
        "TDN's accuracy is of 3×2 views of 8 frames",
        f"#F {row.num_frames}, {row.flops}, {row.top1}",
        f"its authors: {row.top1} with frames × crops × clips {quoted('tdn_views').value}; a "
        f"segment reads {quoted('tdn_frames_a_segment').value} frames, so a view "
        f"{int(quoted('tdn_frames_a_segment').value) * int(row.num_frames or 0)}",
        "does not hold: it is of a single view, and of more frames than the column says",
        ("tdn_views", "tdn_frames_a_segment"),
    )
