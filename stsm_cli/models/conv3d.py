"""A 3D convolution whose gradients a CPU gets right where a view has few frames."""

from torch import Tensor, nn
from torch.nn import functional as F


class Conv3d(nn.Conv3d):
    """`nn.Conv3d` that pads time itself where a CPU may get its weight gradient wrong.

    Trap: oneDNN reads and writes past its memory in two cases, and the gradient is noise or the
    process dies: in bfloat16 where the features are shorter than the window
    (`jit_avx512_core_bf16_conv_kernel.cpp`, `compute_od_loop_common`), in float32 where a window of
    9 and more strides over little more than itself. Without a padding of its own it is right.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Features as those of `nn.Conv3d`, of features (N, C, T, H, W)."""
        time, *space = (int(side) for side in self.padding)
        # ours: well beyond the cases that were found
        is_safe = self.stride[0] == 1 and int(x.shape[2]) >= 2 * self.kernel_size[0]
        if x.device.type != "cpu" or time == 0 or is_safe:
            return super().forward(x)
        x = F.pad(x, (0, 0, 0, 0, time, time))
        return F.conv3d(
            x, self.weight, self.bias, self.stride, (0, *space), self.dilation, self.groups
        )
