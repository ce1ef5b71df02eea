"""Non-local blocks: every position of a view looks at all others, in space and in time.

The block's 1×1×1 convolutions, its (1, 2, 2) pooling and its batch norm treat each frame alike, so
they are written as their 2D twins on frames; only the attention knows of time.

Shapes: N views of T frames; C channels, D = C/2; Q = T·H·W queries; P = T·⌊H/2⌋·⌊W/2⌋ keys.

Source: Wang et al., Non-local Neural Networks; mmaction2 v1.2.0,
mmaction/models/backbones/resnet_tsm.py (embedded Gaussian, `sub_sample`, `use_scale=False`).
"""

from collections.abc import Mapping

from torch import Tensor, nn

from stsm_cli.models.backbones import BOTTLENECK_WIDTHS, SMALL_WIDTHS

Stages = Mapping[str, tuple[int, tuple[int, ...]]]
"""By stage: its channels, and the residual blocks that a non-local block follows."""

STAGES: dict[str, Stages] = {
    "resnet50": {"layer2": (512, (0, 2)), "layer3": (1024, (0, 2, 4))},
    "resnet_small": {  # ours: the same two stages
        "layer2": (SMALL_WIDTHS[1], (0,)),
        "layer3": (SMALL_WIDTHS[2], (0,)),
    },
    "bottleneck_small": {  # ours: the same two, its last ones
        "layer2": (BOTTLENECK_WIDTHS[1], (0,)),
        "layer3": (BOTTLENECK_WIDTHS[2], (0,)),
    },
}
"""By backbone."""


class NonLocalBlock(nn.Module):
    """Frames plus what an embedded-Gaussian attention over their view adds; the identity at first.

    Args:
        num_channels: C, even.
        num_frames: T.
    """

    def __init__(self, num_channels: int, *, num_frames: int) -> None:
        super().__init__()
        self.num_frames = num_frames
        num_inner = num_channels // 2
        self.theta = nn.Conv2d(num_channels, num_inner, 1)
        self.phi = nn.Conv2d(num_channels, num_inner, 1)
        self.g = nn.Conv2d(num_channels, num_inner, 1)
        self.pool = nn.MaxPool2d(2)
        self.conv_out = nn.Conv2d(num_inner, num_channels, 1, bias=False)
        self.bn = nn.BatchNorm2d(num_channels)
        for conv in (self.theta, self.phi, self.g):
            nn.init.normal_(conv.weight, std=0.01)
            nn.init.zeros_(conv.bias)  # type: ignore[arg-type]  # these three have one
        nn.init.zeros_(self.bn.weight)  # the block starts as the identity
        nn.init.zeros_(self.bn.bias)

    def forward(self, frames: Tensor) -> Tensor:
        """Frames (N·T, C, H, W) of the same memory format."""
        queries = self._positions(self.theta(frames))  # (N, Q, D)
        keys = self._positions(self.pool(self.phi(frames)))  # (N, P, D)
        values = self._positions(self.pool(self.g(frames)))  # (N, P, D)
        attention = (queries @ keys.transpose(1, 2)).softmax(-1)  # (N, Q, P), without a scale
        seen = attention @ values  # (N, Q, D)
        seen = seen.view(-1, *frames.shape[-2:], seen.shape[-1])  # (N·T, H, W, D)
        out: Tensor = frames + self.bn(self.conv_out(seen.permute(0, 3, 1, 2)))
        return out

    def _positions(self, frames: Tensor) -> Tensor:
        """(N·T, D, H, W) -> (N, T·H·W, D)."""
        rows = frames.flatten(2).transpose(1, 2)  # (N·T, H·W, D)
        return rows.reshape(-1, self.num_frames, *rows.shape[1:]).flatten(1, 2)


def insert_non_local(network: nn.Module, stages: Stages, *, num_frames: int) -> None:
    """Put non-local blocks into a ResNet, in place: with `STAGES["resnet50"]` the five of R-50+NL.

    They stand as `layer2.non_local0` and so on, behind the residual block of that number; all
    other keys stay what they are.
    """
    for stage, (num_channels, after) in stages.items():
        layer = nn.Sequential()
        for name, block in network.get_submodule(stage).named_children():
            layer.add_module(name, block)
            if int(name) in after:
                non_local = NonLocalBlock(num_channels, num_frames=num_frames)
                layer.add_module(f"non_local{name}", non_local)
        network.set_submodule(stage, layer)
