"""A 3D convolution whose gradients a CPU gets right where a view has few frames."""

from torch import Tensor, nn
from torch.nn import functional as F


class Conv3d(nn.Conv3d):
    """`nn.Conv3d` that pads time itself where the features are shorter than its window.

    Trap: there, oneDNN's weight gradient in bfloat16 (`jit_avx512_core_bf16_conv_kernel.cpp`,
    `compute_od_loop_common`) reads and writes past its memory: of 2 frames under a window of 3 it
    is noise, of 4 under 7 the process dies. Without a padding of its own it is right.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Features as those of `nn.Conv3d`, of features (N, C, T, H, W)."""
        frames = int(x.shape[2])
        if x.device.type != "cpu" or frames >= self.kernel_size[0]:
            return super().forward(x)
        time, *space = (int(side) for side in self.padding)
        x = F.pad(x, (0, 0, 0, 0, time, time))
        padding = (0, *space)
        return F.conv3d(x, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)
