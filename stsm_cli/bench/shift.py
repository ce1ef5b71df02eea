"""What the shift costs in ResNet-50: time of a forward and of a training step, and memory.

*TSM, its authors' code* is the shift as mit-han-lab/temporal-shift-module writes it: zeros, and
three slice assignments.

Shapes: frames (T, C, H, W) of one video.
"""

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torchvision.models import resnet50

from stsm_cli.bench.peak import peak_bytes
from stsm_cli.bench.record import Table
from stsm_cli.bench.turns import Seconds, Stopwatch, Variant, milliseconds, ratio, take_turns
from stsm_cli.engine.autocast import autocast
from stsm_cli.models.shift import ShiftedConv, insert_shift, shift
from stsm_cli.progress import SILENT, Progress

LAYOUTS = {"contiguous": torch.contiguous_format, "channels-last": torch.channels_last}
TSN, TSM, STSM, TSM_CODE = "TSN", "TSM", "STSM", "TSM, its authors' code"
PLAIN_COPY = "plain copy"
NUM_FRAMES, SIZE_PX = 8, 224
MORE_ROUNDS = 5  # of shifts alone, which take a twentieth of a forward


@dataclass(frozen=True)
class ShiftCase:
    """One way to run the networks.

    Attributes:
        device: Where they run.
        layout: One of `LAYOUTS`.
        is_compiled: Through `torch.compile`.
        num_frames: T.
        size_px: Side of a frame.
    """

    device: torch.device
    layout: str
    is_compiled: bool = False
    num_frames: int = NUM_FRAMES
    size_px: int = SIZE_PX

    @property
    def precision(self) -> torch.dtype:
        """bfloat16 on a GPU, whose recipes train in it; float32 elsewhere."""
        return torch.bfloat16 if self.device.type == "cuda" else torch.float32

    def __str__(self) -> str:
        how = "compiled" if self.is_compiled else "eager"
        return f"{self.device.type}, {str(self.precision)[6:]}, {self.layout}, {how}"

    def frames(self) -> Tensor:
        """Frames of a video of noise."""
        size = (self.num_frames, 3, self.size_px, self.size_px)
        frames = torch.randn(size, device=self.device)
        return frames.contiguous(memory_format=LAYOUTS[self.layout])

    def networks(self) -> dict[str, nn.Module]:
        """The networks, laid out."""
        return {
            name: network.to(self.device).to(memory_format=LAYOUTS[self.layout])
            for name, network in networks(self.num_frames).items()
        }


def authors_shift(frames: Tensor, num_frames: int = NUM_FRAMES) -> Tensor:
    """TSM's shift by T at α=1/4, as its authors compute it."""
    videos = frames.view(-1, num_frames, *frames.shape[1:])
    fold = frames.shape[1] // 8
    out = torch.zeros_like(videos)
    out[:, :-1, :fold] = videos[:, 1:, :fold]
    out[:, 1:, fold : 2 * fold] = videos[:, :-1, fold : 2 * fold]
    out[:, :, 2 * fold :] = videos[:, :, 2 * fold :]
    return out.view(frames.shape)


class AuthorsConv(nn.Module):
    """A convolution behind TSM's code."""

    def __init__(self, net: nn.Module, num_frames: int) -> None:
        super().__init__()
        self.net, self.num_frames = net, num_frames

    def forward(self, frames: Tensor) -> Tensor:
        """Output of the convolution for shifted frames."""
        out: Tensor = self.net(authors_shift(frames, self.num_frames))
        return out


def shifts(num_frames: int = NUM_FRAMES) -> dict[str, Callable[[Tensor], Tensor]]:
    """The shifts alone, by the names of their networks."""
    return {
        TSM: partial(shift, num_frames=num_frames, dims="T", alpha="1/4"),
        STSM: partial(shift, num_frames=num_frames, dims="T+H+W", alpha="3/8"),
        TSM_CODE: partial(authors_shift, num_frames=num_frames),
    }


def networks(num_frames: int = NUM_FRAMES) -> dict[str, nn.Module]:
    """The same ResNet-50 without a shift, with the paper's, and with TSM's by both codes."""
    plain = resnet50(num_classes=400)

    def shifted(dims: str, alpha: str) -> nn.Module:
        return insert_shift(copy.deepcopy(plain), num_frames=num_frames, dims=dims, alpha=alpha)

    authors = shifted("T", "1/4")
    for block in authors.modules():
        if isinstance(conv := getattr(block, "conv1", None), ShiftedConv):
            block.conv1 = AuthorsConv(conv.net, num_frames)
    return {TSN: plain, TSM: shifted("T", "1/4"), STSM: shifted("T+H+W", "3/8"), TSM_CODE: authors}


def measure_shift(
    case: ShiftCase, rounds: int, stopwatch: Stopwatch, progress: Progress = SILENT
) -> Iterator[Table]:
    """Tables, each as soon as it is measured: forward, training step, and the shifts alone.

    Compiled shifts are part of what stands around them, and have no table of their own.
    """
    frames, plain = case.frames(), case.networks()
    models = _compiled(plain) if case.is_compiled else plain
    forward = _measure("forward", case, models, frames, rounds, stopwatch, progress)
    yield _table(f"forward, {case}", forward)
    training = _measure("training step", case, models, frames, rounds, stopwatch, progress)
    peaks = None if case.is_compiled and not frames.is_cuda else _peaks(case, models, frames)
    yield _table(f"training step, {case}", training, peaks)
    if not case.is_compiled:
        sites = _sites(plain[STSM].eval(), frames, case.precision)
        yield _alone(case, sites, MORE_ROUNDS * rounds, stopwatch, progress, forward)


def _compiled(models: Mapping[str, nn.Module]) -> dict[str, nn.Module]:
    torch.compiler.reset()
    return {name: torch.compile(model) for name, model in models.items()}  # type: ignore[misc]


def step(model: nn.Module, frames: Tensor, precision: torch.dtype) -> None:
    """A forward, and its gradients if the model is training."""
    with autocast(frames.device, precision):
        loss = model(frames).float().logsumexp(1).mean()
    if model.training:
        loss.backward()
        model.zero_grad()


def _measure(
    what: str,
    case: ShiftCase,
    models: Mapping[str, nn.Module],
    frames: Tensor,
    rounds: int,
    stopwatch: Stopwatch,
    progress: Progress,
) -> Seconds:
    is_training = what != "forward"
    variants: dict[str, Variant] = {
        name: partial(_turn, model.train(is_training), frames, case.precision)
        for name, model in models.items()
    }
    label = f"{what}, {case}"
    with (
        progress.bar(label, (rounds + 1) * len(variants)) as bar,
        torch.set_grad_enabled(is_training),
    ):
        return take_turns(variants, rounds, stopwatch, bar)


def _turn(model: nn.Module, frames: Tensor, precision: torch.dtype, _: int) -> None:
    step(model, frames, precision)


def _peaks(
    case: ShiftCase, models: Mapping[str, nn.Module], frames: Tensor
) -> dict[str, dict[str, float]]:
    """Memory of a training step, parameters aside, in MB and relative to the first network's."""
    peaks = {
        name: peak_bytes(partial(step, model, frames, case.precision), case.device)
        for name, model in models.items()
    }
    return {name: {"mb": peak / 1e6, "mb_ratio": peak / peaks[TSN]} for name, peak in peaks.items()}


def _table(
    title: str, seconds: Seconds, more: Mapping[str, Mapping[str, float]] | None = None
) -> Table:
    first, *_ = seconds
    rows = {
        name: {"ms": milliseconds(seconds, name), "ratio": ratio(seconds, name, first)}
        | dict((more or {}).get(name, {}))
        for name in seconds
    }
    return Table(title, rows)


def _sites(model: nn.Module, frames: Tensor, precision: torch.dtype) -> list[Tensor]:
    """Noise of the shape and layout of what each shift of the network gets."""
    sites: list[Tensor] = []
    hooks = [
        module.register_forward_pre_hook(lambda _, inputs: sites.append(torch.randn_like(*inputs)))
        for module in model.modules()
        if isinstance(module, ShiftedConv)
    ]
    with torch.no_grad():
        step(model, frames, precision)
    for hook in hooks:
        hook.remove()
    return sites


def _alone(
    case: ShiftCase,
    sites: list[Tensor],
    rounds: int,
    stopwatch: Stopwatch,
    progress: Progress,
    forward: Seconds,
) -> Table:
    """The shifts of a forward beside as many plain copies."""

    def run_all(function: Callable[[Tensor], Tensor], _: int) -> None:
        for x in sites:
            function(x)

    functions = {PLAIN_COPY: torch.clone, **shifts(case.num_frames)}
    variants = {name: partial(run_all, function) for name, function in functions.items()}
    title = f"{len(sites)} shifts alone, {case}"
    with progress.bar(title, (rounds + 1) * len(variants)) as bar, torch.no_grad():
        seconds = take_turns(variants, rounds, stopwatch, bar)
    whole = milliseconds(forward, TSN)
    shares = {n: {"share": 100 * milliseconds(seconds, n) / whole} for n in seconds}
    return _table(title, seconds, shares)
