"""A network as other programs are given it: alone, or with what stands before and behind it.

Shapes: N videos, V views a video, T frames a view, C channels, K classes.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from stsm_cli.config.schema import Recipe
from stsm_cli.engine.scores import Average, average_views
from stsm_cli.models.network import Network


@dataclass(frozen=True)
class Port:
    """The input or the output of an exported network.

    Attributes:
        name: As the file calls it.
        dtype: `float32` or `uint8`.
        shape: Without N, its first dimension.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.name}, {self.dtype} ({', '.join(['N', *map(str, self.shape)])})"


class WithPreprocessing(nn.Module):
    """Probabilities of pixels: they are normalised, and the views of a video averaged.

    Args:
        network: What scores a view.
        num_views: V.
        average: As `average_views` takes it.
        class_orders: (V, K) the class that each score of each view is for; None: its own.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        network: Network,
        num_views: int,
        average: Average,
        class_orders: Tensor | None,
    ) -> None:
        super().__init__()
        self.network, self.num_views, self.average = network, num_views, average
        for name in ("mean", "std"):
            values = torch.tensor(getattr(network.view, name)).view(-1, 1, 1)
            self.register_buffer(name, values)
        self.register_buffer("class_orders", class_orders)

    def forward(self, frames: Tensor) -> Tensor:
        """(N, K) of uint8 frames (N, T, H, W, C), or (N, V, T, H, W, C) where V is above 1."""
        views = frames.flatten(0, 1) if self.num_views > 1 else frames  # (N·V, T, H, W, C)
        videos = (views.movedim(-1, -3).float() - self.mean) / self.std  # (N·V, T, C, H, W)
        logits = self.network(videos)
        logits = logits.view(-1, self.num_views, logits.shape[-1])  # (N, V, K)
        if isinstance(self.class_orders, Tensor):
            logits = logits.gather(-1, self.class_orders.expand_as(logits))
        return average_views(logits, self.average)


def ports(recipe: Recipe, num_classes: int, *, with_preprocessing: bool) -> tuple[Port, Port]:
    """Input and output of a recipe's network, alone or with its preprocessing."""
    frames, channels, *size = recipe.model.view.shape(recipe.test.crop_px)
    if not with_preprocessing:
        videos = Port("videos", "float32", (frames, channels, *size))
        return videos, Port("logits", "float32", (num_classes,))
    num_views = recipe.test.clips * recipe.test.crops
    views = (num_views,) if num_views > 1 else ()
    shape = (*views, frames, *size, channels)
    return Port("frames", "uint8", shape), Port("probabilities", "float32", (num_classes,))


def example(port: Port, num_videos: int, seed: int = 0) -> Tensor:
    """An input (num_videos, ...) of noise, the same for the same seed."""
    generator = torch.Generator().manual_seed(seed)
    if port.dtype == "uint8":
        shape = (num_videos, *port.shape)
        return torch.randint(256, shape, generator=generator, dtype=torch.uint8)
    return torch.randn(num_videos, *port.shape, generator=generator)


def as_port(views: Tensor, port: Port) -> Tensor:
    """Pixels (N, V, T, C, H, W) laid out as an input of pixels takes them."""
    pixels = views.movedim(-3, -1)  # (N, V, T, H, W, C)
    return pixels if len(port.shape) == pixels.ndim - 1 else pixels[:, 0]
