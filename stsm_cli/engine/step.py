"""One optimiser step: a batch in parts, its gradient over all processes, the change of weights."""

import math
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from stsm_cli.config.schema import Recipe
from stsm_cli.config.view import View
from stsm_cli.data.loader import Batch
from stsm_cli.engine.autocast import AUTOCAST, autocast
from stsm_cli.engine.distributed import current_world, sum_over_processes
from stsm_cli.engine.loss import Loss, likeliest
from stsm_cli.engine.optim import build_optimizer, freeze_norms, freeze_parts, set_lr
from stsm_cli.errors import StsmError
from stsm_cli.models.network import AUXILIARY_WEIGHT, Network

_Tensors = tuple[Tensor, ...] | list[Tensor]
MOST_SKIPPED = 20  # ours: in a row; fp16's loss scale has then shrunk from 65,536 to below 0.1


@dataclass(frozen=True)
class Gradient:
    """The gradient of a batch, over all processes: its loss, hits and norm.

    Attributes:
        loss_sum: The recipe's loss, with an auxiliary head's share, summed over the videos.
        correct: Videos whose class scored highest; of mixed ones, that of the larger share.
        norm: L2 norm of the mean gradient, before clipping.
        suspects: Videos of this process in parts whose loss is not finite.
    """

    loss_sum: float
    correct: int
    norm: float
    suspects: tuple[int, ...]


class Stepper:
    """A network and its optimiser.

    Args:
        model: Is on `device`.
        recipe: What the step depends on.
        device: Where it runs.
        compile_with: Backend of `torch.compile`; None: the network runs as it is.
        class_weights: Of the loss, float32 (K,); None: all classes count alike.
    """

    def __init__(
        self,
        model: Network,
        recipe: Recipe,
        device: torch.device,
        compile_with: str | None,
        class_weights: Tensor | None = None,
    ) -> None:
        self.model, self.recipe, self.device = model, recipe, device
        self.dtype = AUTOCAST[recipe.precision]
        norms = freeze_parts(model, recipe.optim)
        self.optimizer = build_optimizer(model, recipe.optim)
        # trap: after it, for checkpoints hold a place for each of these norms' weights
        self.frozen_norms = [*norms, *freeze_norms(model, recipe.optim)]
        weights = None if class_weights is None else class_weights.to(device)
        self.loss = Loss(recipe.loss, model.num_classes, weights)
        self.average = _average(model, recipe.optim.ema_decay)
        self.scaler = torch.amp.GradScaler(device.type, enabled=recipe.precision == "fp16")
        self.num_skipped = 0
        self.world = current_world()
        self.parallel: DistributedDataParallel | None = None
        if self.world.size > 1:
            ids = [device] if device.type == "cuda" else None
            self.parallel = DistributedDataParallel(model, device_ids=ids)
        self.network: Any = self.parallel or model
        if compile_with is not None:
            self.network = torch.compile(self.network, backend=compile_with)

    @property
    def result(self) -> Network:
        """The network that is tested and kept: the average of the weights, where one is made."""
        if self.average is None:
            return self.model
        assert isinstance(self.average.module, Network)
        return self.average.module

    def gradient(self, parts: Sequence[Batch], num_videos: int) -> Gradient:
        """Leave in the parameters the clipped mean gradient over `num_videos` videos.

        Args:
            parts: This process's share of the batch.
            num_videos: In the shares of all processes together, without broken ones; at least 1.

        Raises:
            StsmError: The device's memory does not suffice, or `torch.compile` fails.
        """
        self.model.train()
        for norm in self.frozen_norms:
            norm.eval()
        self.optimizer.zero_grad()
        parts = [part for part in parts if part.indices]
        done = []
        for part in parts:
            with self._in_step(is_last=part is parts[-1]), self._in_memory(part):
                done.append(self._backward(part, len(part.indices) / num_videos))
        if self.parallel is not None and not parts:
            self._join_in()
        losses = [float(loss) for loss, _ in done]
        loss_sum = sum(loss * len(part.indices) for loss, part in zip(losses, parts, strict=True))
        loss_sum, correct = sum_over_processes([loss_sum, sum(int(hits) for _, hits in done)])
        bad = [p for p, loss in zip(parts, losses, strict=True) if not math.isfinite(loss)]
        return Gradient(
            loss_sum,
            int(correct),
            self._clip(),
            tuple(index for part in bad for index in part.indices),
        )

    def _in_step(self, *, is_last: bool) -> AbstractContextManager[None]:
        """Gradients of all parts but the last are added up before the processes exchange them."""
        if self.parallel is None or is_last:
            return nullcontext()
        within: AbstractContextManager[None] = self.parallel.no_sync()
        return within

    @contextmanager
    def _in_memory(self, part: Batch) -> Iterator[None]:
        try:
            yield
        except torch.OutOfMemoryError as error:
            raise StsmError(
                f"{self.device}: not enough memory for {len(part.indices)} videos at once",
                hint="split the batch into more parts with optim.accumulate "
                f"(now {self.recipe.optim.accumulate}) or --nproc",
            ) from error

    def _backward(self, part: Batch, share: float) -> tuple[Tensor, Tensor]:
        """The part's mean loss, and how many videos it classified rightly."""
        labels = part.labels.to(self.device, non_blocking=True)
        videos = normalise(part.pixels, self.model.view, self.device)
        videos, targets = self.loss.mixed(videos, labels)
        logits, *auxiliary = self._logits(videos)
        loss = self.loss(logits, targets)
        for head in auxiliary:
            loss = loss + AUXILIARY_WEIGHT * self.loss(head, targets)
        # processes average their gradients: times their number, the shares of a batch add up to 1
        self.scaler.scale(loss * (share * self.world.size)).backward()
        return loss.detach(), (logits.argmax(1) == likeliest(targets)).sum()

    def _join_in(self) -> None:
        """A share without videos: the others wait for a gradient, and get zeros."""
        self.model.eval()  # the black video must not enter the batch norms' statistics
        self.model.training = True  # of itself alone: its auxiliary head joins in
        size = self.model.view.shape(self.recipe.data.crop_px)
        heads = self._logits(torch.zeros((1, *size), device=self.device))
        self.scaler.scale(torch.stack(heads).sum() * 0.0).backward()

    def _logits(self, videos: Tensor) -> tuple[Tensor, ...]:
        """Float32 logits (N, K) of each head, for normalised videos (N, T, C, H, W)."""
        try:
            with autocast(self.device, self.dtype):
                logits: Tensor | tuple[Tensor, ...] = self.network(videos)
        except RuntimeError as error:
            if not type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
                raise
            reason = " ".join(str(error).partition("\n\n")[0].split())
            raise StsmError(
                f"--compile: torch.compile failed: {reason}", hint="train without --compile"
            ) from error
        heads = logits if isinstance(logits, tuple) else (logits,)
        return tuple(head.float() for head in heads)

    def _clip(self) -> float:
        """The gradient's L2 norm before it is clipped."""
        self.scaler.unscale_(self.optimizer)
        limit = self.recipe.optim.clip_grad_norm
        limit = math.inf if limit is None else limit
        return float(nn.utils.clip_grad_norm_(self.model.parameters(), limit))

    def accepts(self, gradient: Gradient) -> bool:
        """Accept it or not: loss and norm are finite, or fp16 may still find its loss scale."""
        self.num_skipped = 0 if math.isfinite(gradient.norm) else self.num_skipped + 1
        allowed = MOST_SKIPPED if self.scaler.is_enabled() else 0
        return math.isfinite(gradient.loss_sum) and self.num_skipped <= allowed

    def apply(self, lr: float) -> None:
        """Change the weights by the gradient; in fp16 one that overflowed is skipped."""
        set_lr(self.optimizer, lr)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.average is not None and not self.num_skipped:
            self.average.update_parameters(self.model)

    def is_finite(self) -> bool:
        """Tell whether weights and batch-norm statistics are still finite."""
        return all(bool(tensor.isfinite().all()) for tensor in self.model.state_dict().values())

    def share_buffers(self) -> None:
        """Give all processes the first one's batch-norm statistics, as each step does."""
        if self.parallel is not None:
            for buffer in self.result.buffers():
                dist.broadcast(buffer, 0)

    def state(self) -> dict[str, Any]:
        """State that `restore` needs, next to the weights of `result`."""
        state = {"optimizer": self.optimizer.state_dict(), "scaler": self.scaler.state_dict()}
        if self.average is None:
            return state
        num_averaged = int(self.average.n_averaged)
        return state | {"trained": self.model.state_dict(), "num_averaged": num_averaged}

    def restore(self, state: dict[str, Any]) -> None:
        """Go back to what `state` returned."""
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        if self.average is not None:
            self.model.load_state_dict(state["trained"])
            self.average.n_averaged.fill_(state["num_averaged"])


def _average(model: Network, decay: float | None) -> AveragedModel | None:
    """The moving average of a network's weights and statistics, still those it starts with."""
    if decay is None:
        return None
    move = get_ema_multi_avg_fn(decay)

    def update(averaged: _Tensors, current: _Tensors, num_averaged: Tensor | int) -> None:
        if averaged[0].is_floating_point():
            move(averaged, current, num_averaged)
        else:  # counts and indices have no average
            torch._foreach_copy_(averaged, current)

    return AveragedModel(model, multi_avg_fn=update, use_buffers=True)


def normalise(pixels: Tensor, view: View, device: torch.device) -> Tensor:
    """Float32 pixels with zero mean and unit variance by the view's statistics, strides kept.

    Done on the device, as the last step of the input pipeline: only uint8 travels there.

    Args:
        pixels: uint8 (..., C, H, W).
        view: What the network takes.
        device: Where the result lives.
    """
    mean, std = _statistics(view, device)
    return pixels.to(device, non_blocking=True).float().sub_(mean).div_(std)


@cache  # a new copy for each batch would make the host wait for the device
def _statistics(view: View, device: torch.device) -> tuple[Tensor, Tensor]:
    with torch.inference_mode(mode=False):
        mean, std = (torch.tensor(values, device=device) for values in (view.mean, view.std))
    return mean.view(-1, 1, 1), std.view(-1, 1, 1)
