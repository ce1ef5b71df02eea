"""TEA: a Res2Net whose blocks excite what moves and whose parts are convolved along time.

Shapes: N views of T frames; C = 4w channels of a block, c = C/16; frames (N·T, C, H, W).

Source: Li et al., TEA: Temporal Excitation and Aggregation for Action Recognition (CVPR 2020);
Phoenix1327/tea-action-recognition, ops/tea50_8f.py.
"""

from torch import Tensor, nn

from stsm_cli.models.res2net import Bottle2neck
from stsm_cli.models.temporal import Motion, TemporalConv, reduced, to_next


class MotionExcitation(nn.Module):
    """x + a·x; a, from -1/2 to 1/2 for each channel of a frame, is the motion to the next frame.

    trap: the batch norm of the expansion sees one value a frame and channel, so few in a small
    batch; at the last frame of a view motion is zero, and a what the norm makes of that.

    Args:
        num_channels: C.
        num_frames: T.
    """

    def __init__(self, num_channels: int, *, num_frames: int) -> None:
        super().__init__()
        self.motion = Motion(num_channels, num_frames=num_frames)
        self.expand = nn.Conv2d(reduced(num_channels), num_channels, 1, bias=False)
        self.bn = nn.BatchNorm2d(num_channels)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):  # as the rest of the body
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, frames: Tensor) -> Tensor:
        """Frames (N·T, C, H, W) of the same memory format."""
        means = to_next(*self.motion(frames)).mean((2, 3), keepdim=True)  # (N·T, c, 1, 1)
        attention = self.bn(self.expand(means)).sigmoid() - 0.5
        out: Tensor = frames + frames * attention
        return out


def insert_tea(network: nn.Module, *, num_frames: int) -> None:
    """Put TEA into every block of a Res2Net, in place; all keys of the Res2Net stay.

    In `layer1.0` they are `me.*`, and `shifts.0` to `shifts.3`: the convolutions along time of the
    first three parts start as the identity, that of the last one as a shift of half its channels
    forward and half backward.
    """
    for block in network.modules():
        if isinstance(block, Bottle2neck):
            block.me = MotionExcitation(block.conv1.out_channels, num_frames=num_frames)
            *first, last = range(len(block.shifts))
            for i in first:
                block.shifts[i] = TemporalConv(block.width, num_frames=num_frames)
            half = block.width // 2
            block.shifts[last] = TemporalConv(block.width, num_frames=num_frames, moved=half)
