"""The paper's operator: some channels look at the next or the previous frame, row or column.

One pass over the tensor, no parameters, no multiply-adds (paper section 3). `shift` is the
function, `SpatioTemporalShift` the module, `insert_shift` puts it before the convolutions of a
network. Eagerly the output is filled slice by slice (on CUDA by one kernel, `shift_triton.py`);
what `torch.compile`, `torch.export` and ONNX see is built of slices, pads and one concatenation,
channels-last where it is compiled for a CPU; for `torch.fx` it is one node.

Shapes:
    N videos, T frames a video, C channels, H rows, W columns.
    frames (N·T, C, H, W), the frames of a video one after the other; features (N, C, T, H, W).
"""

import functools
import weakref
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.overrides import handle_torch_function

from stsm_cli.config.notation import parse_alpha, parse_dims
from stsm_cli.models import shift_copies
from stsm_cli.models.shift_graph import composed, composed_channels_last
from stsm_cli.models.shift_sites import target_convs
from stsm_cli.models.shift_slices import (
    AlphaLike,
    ChannelSlice,
    channel_slices,
    frames_per_video,
    group_sizes,
    reversed_slices,
    slices_of,
)

__all__ = [
    "ChannelSlice",
    "ShiftedConv",
    "SpatioTemporalShift",
    "channel_slices",
    "insert_shift",
    "plain_state_dict",
    "shift",
]

_CAN_TELL_EXPORTS = hasattr(torch.compiler, "is_exporting")  # since torch 2.7


def shift(x: Tensor, *, num_frames: int | None = None, dims: str, alpha: AlphaLike) -> Tensor:
    """`x` with some of its channels moved by one position; zeros enter at the borders.

    The result has the shape, the type and the memory format of `x`; where α moves no channel at
    all, it is `x` itself.

    Args:
        x: frames (N·T, C, H, W) or features (N, C, T, H, W).
        num_frames: T, needed for frames; features have their own.
        dims: Sum of groups of axes, such as `T+H+W` (see `parse_dims`).
        alpha: Fraction of all channels that move (see `parse_alpha`).

    Raises:
        ValueError: `dims` or `alpha` is not valid; `x` is no tensor, or neither frames nor
            features; `num_frames` is no whole number, or below 1; the number of frames is not a
            multiple of it.

    Source:
        Paper section 3. At `T`, α=1/4 it is the shift of mit-han-lab/temporal-shift-module,
        ops/temporal_shift.py, with `fold_div` 8.
    """
    if not isinstance(x, Tensor):  # a proxy of torch.fx, whose graph takes no Fraction
        if not hasattr(x, "__torch_function__"):
            raise ValueError(f"x is {type(x).__name__}, a shift takes a tensor")
        text: Any = str(parse_alpha(alpha))
        return handle_torch_function(shift, (x,), x, num_frames=num_frames, dims=dims, alpha=text)
    return _shifted(x, frames_per_video(x, num_frames), channel_slices(x.shape[1], dims, alpha))


class SpatioTemporalShift(nn.Module):
    """`shift` as a module: frames or features in, the same shape out.

    `dims` and `alpha` are not to be changed later.

    Args:
        num_frames: T of frames; features (N, C, T, H, W) have their own.
        dims: Sum of groups of axes, such as `T+H+W`.
        alpha: Fraction of all channels that move.

    Raises:
        ValueError: `num_frames` is no whole number or below 1, or `dims` or `alpha` is not valid.
    """

    def __init__(self, num_frames: int, dims: str, alpha: AlphaLike) -> None:
        super().__init__()
        if not hasattr(num_frames, "__index__"):
            raise ValueError(f"num_frames ({num_frames!r}) must be a whole number")
        if num_frames < 1:
            raise ValueError(f"num_frames ({num_frames}) must be at least 1")
        groups = parse_dims(dims)
        self.num_frames = num_frames
        self.dims = dims
        self.alpha = parse_alpha(alpha)
        self._parsed = groups, *self.alpha.as_integer_ratio()

    def forward(self, x: Tensor) -> Tensor:
        """The shifted `x`."""
        if isinstance(x, Tensor):
            num_frames = frames_per_video(x, self.num_frames)
            return _shifted(x, num_frames, slices_of(x.shape[1], *self._parsed))
        return shift(x, num_frames=self.num_frames, dims=self.dims, alpha=self.alpha)

    def extra_repr(self) -> str:
        """For example `T+H+W, α=3/8, 8 frames`."""
        return f"{self.dims}, α={self.alpha}, {self.num_frames} frames"


class ShiftedConv(SpatioTemporalShift):
    """A shift and the convolution that reads it, `net`; what `insert_shift` puts into a network.

    Training keeps the input, which the layer before mostly keeps anyway, and shifts it again in
    the backward pass, where a plain sequence of both would keep a shifted copy (and does, inside
    the transforms of `torch.func`). Compiled autograd refuses an eager forward of it ("backward
    through the graph a second time"): it frees what is kept before it is shifted again.

    `load_state_dict` takes the keys of the bare convolution (`conv1.weight`) too. For `torch.fx`
    both are one node, called as the convolution was.

    Args:
        net: The convolution; the name is that of both reference implementations' checkpoints.
        num_frames: T of frames; features (N, C, T, H, W) have their own.
        dims: Sum of groups of axes, such as `T+H+W`.
        alpha: Fraction of all channels that move.

    Raises:
        ValueError: As `SpatioTemporalShift`; or `net` is no Conv2d or Conv3d whose channels are
            known; called, where a Conv3d gets features without a batch.
    """

    def __init__(
        self, net: nn.Conv2d | nn.Conv3d, *, num_frames: int, dims: str, alpha: AlphaLike
    ) -> None:
        if not isinstance(net, nn.Conv2d | nn.Conv3d) or net.in_channels < 1:
            what = type(net).__name__
            raise ValueError(f"net is {what}, not a Conv2d or Conv3d whose channels are known")
        super().__init__(num_frames, dims, alpha)
        self.net = net
        self.slices = slices_of(net.in_channels, *self._parsed)
        self._reverse = reversed_slices(self.slices)  # trap: torch 2.7 does not trace `_replace`
        self.register_load_state_dict_pre_hook(_take_plain_keys)  # type: ignore[no-untyped-call]

    def forward(self, x: Tensor) -> Tensor:
        """Output of `net` for the shifted `x`."""
        if not isinstance(x, Tensor):
            return self._node(x)
        if x.dim() == 4 and isinstance(self.net, nn.Conv3d):
            raise ValueError("x has 4 dimensions; a shift before a Conv3d takes (N, C, T, H, W)")
        keep_input = not (_is_traced() or _is_transformed()) and (
            torch.is_grad_enabled() and x.requires_grad and self._trains_weight()
        )
        num_frames = frames_per_video(x, self.num_frames)
        if x.device.type == "cpu" and _is_compiled() and self.slices[-1].stop > 0:
            both = self.slices, self._reverse
            return self.net(_CompiledShift.apply(x, num_frames, *both))  # type: ignore[no-any-return]
        shifted = _shifted(x, num_frames, self.slices, keep_input=keep_input)
        if not keep_input or shifted is x:
            return self.net(shifted)  # type: ignore[no-any-return]
        node: Any = shifted.grad_fn  # it keeps `x`
        reference = weakref.ref(shifted)  # the graph holds the hooks, and so what they hold

        def pack(saved: Tensor) -> object:
            return node if saved is reference() else (saved, saved._version)

        def unpack(packed: object) -> Tensor:
            if isinstance(packed, tuple):
                return _unchanged(*packed)
            (kept,) = node.saved_tensors
            return _fill(kept, node.num_frames, node.slices)

        with saved_tensors_hooks(pack, unpack):
            return self.net(shifted)  # type: ignore[no-any-return]

    def _trains_weight(self) -> bool:
        # trap: asked for itself, a weight with a parametrization is computed, which may change it
        named = self.net.named_parameters()
        return any(part.requires_grad for name, part in named if name != "bias")

    def _node(self, x: Any) -> Any:  # noqa: ANN401
        """Output for the proxy `x`: a node that stands for this module in a graph of torch.fx.

        One node, so that the traced network trains as this one does.
        """
        if not hasattr(x, "tracer"):
            raise ValueError(f"x is {type(x).__name__}, a shift takes a tensor")
        if path := x.tracer.path_of_module(self):
            return x.tracer.create_proxy("call_module", path, (x,), {})
        return self.net(super().forward(x))  # traced by itself, it cannot be a part

    def extra_repr(self) -> str:
        """For example `T, α=1/4: 16 of 64 channels (T 8+8), 8 frames`."""
        sizes = group_sizes(self.slices, self.dims)
        groups = ", ".join(f"{group} {ahead}+{back}" for group, (ahead, back) in sizes.items())
        moved = f"{self.slices[-1].stop} of {self.net.in_channels} channels"
        return f"{self.dims}, α={self.alpha}: {moved} ({groups}), {self.num_frames} frames"


def insert_shift(
    model: nn.Module,
    *,
    num_frames: int,
    dims: str = "T+H+W",  # paper Table 3
    alpha: AlphaLike = "3/8",  # paper Table 1
    targets: Sequence[str] | None = None,
) -> nn.Module:
    """`model` itself, a shift now standing before some of its convolutions.

    Each becomes a `ShiftedConv`, its weight's key `layer1.0.conv1.net.weight`. The network still
    loads weights under their plain keys; `plain_state_dict` gives them back. At α=0 nothing is put
    in, and keys stay as they are.

    Args:
        model: Any network; changed in place.
        num_frames: T, the frames of one video in a batch; 3D networks take it from their features.
        dims: Sum of groups of axes; the paper's best unless said.
        alpha: Fraction of all channels that move, likewise.
        targets: Names of the convolutions, as in `model.named_modules()`. Not needed where the
            network has residual blocks that begin with a convolution: `shift_sites` finds them.

    Raises:
        ValueError: An argument is not valid; `targets` is empty, or names what is no 2D or 3D
            convolution of `model`, or one of several places or of unknown width; the network has no
            known block, is scripted, or has a shift already.
    """
    for name, module in model.named_modules():
        if isinstance(module, SpatioTemporalShift):
            raise ValueError(f"the network has a shift already, at {name!r}")
    convs = target_convs(model, targets)
    if not convs:
        raise ValueError("targets is empty: no convolution to shift; None finds them")
    alpha = SpatioTemporalShift(num_frames, dims, alpha).alpha  # refuses what is wrong, at α=0 too
    if alpha == 0:
        return model
    for name, conv in convs.items():
        parent, _, child = name.rpartition(".")
        shifted = ShiftedConv(conv, num_frames=num_frames, dims=dims, alpha=alpha)
        setattr(model.get_submodule(parent), child, shifted)
    return model


def plain_state_dict(model: nn.Module) -> dict[str, Any]:
    """The state dict of `model` under the keys that it has without its shifts.

    For the same network without them: `resnet50().load_state_dict(plain_state_dict(shifted))`.
    """
    shifted = {
        f"{name}.net.".lstrip("."): f"{name}.".lstrip(".")
        for name, module in model.named_modules(remove_duplicate=False)
        if isinstance(module, ShiftedConv)
    }
    plain = {}
    for key, value in model.state_dict().items():
        prefix = next((prefix for prefix in shifted if key.startswith(prefix)), "")
        plain[shifted.get(prefix, "") + key.removeprefix(prefix)] = value
    return plain


def _take_plain_keys(module: ShiftedConv, state: dict[str, Any], prefix: str, *_: object) -> None:
    """Before a `ShiftedConv` loads `state`: call what is called as for a bare convolution `net`."""
    for name in module.net.state_dict():
        if prefix + name in state and f"{prefix}net.{name}" not in state:
            state[f"{prefix}net.{name}"] = state.pop(prefix + name)


def _unchanged(saved: Tensor, version: int) -> Tensor:
    """What a forward saved, as autograd itself gives it where nothing packs it."""
    if saved._version != version:
        raise RuntimeError(
            "a tensor that the backward pass of a ShiftedConv needs was changed in place: "
            f"{tuple(saved.shape)} is at version {saved._version}, not {version}"
        )
    return saved


def _shifted(
    x: Tensor, num_frames: int, slices: tuple[ChannelSlice, ...], *, keep_input: bool = False
) -> Tensor:
    if slices[-1].stop == 0:
        return x
    if _is_traced():
        return composed(x, num_frames, slices)
    function = _TransformedShift if _is_transformed() else _Shift
    shifted: Tensor = function.apply(x, num_frames, slices, keep_input)
    return shifted


def _is_traced() -> bool:
    return torch.compiler.is_compiling() or torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]


def _is_compiled() -> bool:
    """Tell whether this is traced for `torch.compile`, and not for an export."""
    return _CAN_TELL_EXPORTS and torch.compiler.is_compiling() and not torch.compiler.is_exporting()


def _is_transformed() -> bool:
    """Tell whether this runs inside a transform of `torch.func`, such as `vmap` or `grad`."""
    return torch._C._are_functorch_transforms_active()


class _Shift(torch.autograd.Function):
    """The eager shift. It is linear: its gradient is the reversed shift, and needs no tensor.

    `keep_input` saves `x` all the same, for `ShiftedConv`. It is saved here, not in a closure, so
    that checkpointing, offloading and the check for in-place changes see it.
    """

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401
        x: Tensor,
        num_frames: int,
        slices: tuple[ChannelSlice, ...],
        keep_input: bool,
    ) -> Tensor:
        ctx.num_frames, ctx.slices = num_frames, slices
        if keep_input:
            ctx.save_for_backward(x)
        return _fill(x, num_frames, slices)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:  # noqa: ANN401
        return _shifted(grad, ctx.num_frames, reversed_slices(ctx.slices)), None, None, None

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, *_: None) -> Tensor:  # noqa: ANN401
        return _shifted(tangent, ctx.num_frames, ctx.slices)


class _CompiledShift(torch.autograd.Function):
    """The shift as it is compiled for a CPU, whose own gradient would be a sum of its parts."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401
        x: Tensor,
        num_frames: int,
        slices: tuple[ChannelSlice, ...],
        reverse: tuple[ChannelSlice, ...],
    ) -> Tensor:
        ctx.num_frames, ctx.reverse = num_frames, reverse
        return composed_channels_last(x, num_frames, slices)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:  # noqa: ANN401
        return composed_channels_last(grad, ctx.num_frames, ctx.reverse), None, None, None


class _TransformedShift(_Shift):
    """The same as `torch.func` can transform it; its call takes several times as long."""

    @staticmethod
    def forward(  # type: ignore[override]
        x: Tensor, num_frames: int, slices: tuple[ChannelSlice, ...], _: bool
    ) -> Tensor:
        return _fill(x, num_frames, slices)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ANN401
        _, ctx.num_frames, ctx.slices, _ = inputs

    @staticmethod
    def vmap(
        _: object,
        in_dims: tuple[int, None, None, None],
        x: Tensor,
        num_frames: int,
        slices: tuple[ChannelSlice, ...],
        keep_input: bool,
    ) -> tuple[Tensor, int]:
        batches = x.movedim(in_dims[0], 0)  # (B, N·T, C, H, W) or (B, N, C, T, H, W)
        shifted = _shifted(batches.flatten(0, 1), num_frames, slices)
        return shifted.unflatten(0, batches.shape[:2]), 0


def _fill(x: Tensor, num_frames: int, slices: tuple[ChannelSlice, ...]) -> Tensor:
    """The shifted `x` as a new tensor, every element of it written once."""
    if _is_on_cuda(x) and (kernel := _cuda_kernel()) is not None:
        shifted: Tensor | None = kernel.shifted(x, num_frames, slices)
        if shifted is not None:
            return shifted
    return shift_copies.shifted(x, num_frames, slices)


def _is_on_cuda(x: Tensor) -> bool:
    """Tell whether `x` has memory there; fake tensors, and those that a mode traces, may not."""
    is_plain = type(x) is Tensor and not torch._C._len_torch_dispatch_stack()
    return x.is_cuda and is_plain and x.numel() > 0


@functools.cache
def _cuda_kernel() -> ModuleType | None:
    """The module that shifts in one launch, where Triton is installed and can build it."""
    if torch.version.cuda is None:  # ROCm: a kernel built for no tensor reads 2 GiB at most there
        return None
    try:
        from stsm_cli.models import shift_triton
    except ImportError:
        return None
    return shift_triton if shift_triton.works() else None
