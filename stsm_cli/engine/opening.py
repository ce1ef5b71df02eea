"""Lines a run prints before its first step: its device, its data, and what will be slow."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from statistics import fmean
from typing import Any

import torch
from pydantic import ValidationError
from torch import nn

from stsm_cli.config.networks_3d import smallest_map
from stsm_cli.config.schema import FOR_SMALL_FRAMES, WRITTEN, Backbone, Recipe
from stsm_cli.data.videos import Videos
from stsm_cli.errors import RecipeError, UsageError
from stsm_cli.models.network import Network
from stsm_cli.printable import counted

TRIED_PX = 32  # every network here has a map of larger pictures


def opening_lines(
    recipe: Recipe,
    device: torch.device,
    model: nn.Module,
    splits: Sequence[Videos],
    metrics: Sequence[Mapping[str, Any]],
) -> list[str]:
    """Device, network, precision, the size of the data set and the time; then what will be slow.

    Args:
        splits: Training and validation.
        metrics: Of the epochs that a continued run has done.
    """
    left = seconds_left(metrics, recipe.optim.epochs)
    time = "the time left follows the first epoch"
    if left is not None:
        time = f"about {timedelta(seconds=round(left))} left by the epochs so far"
    slow = (slow_precision(recipe, device), gpu_meant(recipe, device))
    opening = f"{_what(recipe, device, model, *splits)}; {time}"
    return [opening, *(f"warning: {line}" for line in slow if line)]


def _what(
    recipe: Recipe, device: torch.device, model: nn.Module, train_videos: Videos, val_videos: Videos
) -> str:
    threads = torch.get_num_threads()
    where = f"CPU, {counted(threads, 'thread')}"
    if device.type == "cuda":
        where = torch.cuda.get_device_name(device)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    learning = sum(part.numel() for part in model.parameters() if part.requires_grad)
    frozen = f", {learning:,} of them learning," if recipe.optim.frozen else ""
    return (
        f"{where}: {recipe.model.backbone} of {parameters / 1e6:,.2f} M parameters{frozen} in "
        f"{recipe.precision}, {len(train_videos.trained_on):,} training and "
        f"{counted(len(val_videos.manifest.records), 'validation video')} of "
        f"{len(train_videos.manifest.classes)} classes"
    )


def seconds_left(metrics: Sequence[Mapping[str, Any]], epochs: int) -> float | None:
    """Of a run of `epochs` epochs, by the mean of the measured ones; None before the first."""
    if not metrics:
        return None
    seconds = fmean(epoch["seconds"] + epoch["seconds_val"] for epoch in metrics)
    return seconds * (epochs - int(metrics[-1]["epoch"]))


def check_precision(recipe: Recipe, device: torch.device) -> None:
    """Refuse to begin a training whose gradients would be noise, or of fp16 without a GPU.

    Raises:
        UsageError: On a CPU fp16, or bf16 of pictures so small that a convolution strides over a
            map one pixel wide.
    """
    if device.type != "cpu":
        return
    if recipe.precision == "fp16":
        raise UsageError(
            "precision fp16: is for a GPU; a CPU is no faster by it",
            hint="`--set precision=fp32`, or bf16",
        )
    _, pixels = smallest_map(recipe.model.backbone, recipe.model.num_frames)
    # a map of half as many leaves the last stride one pixel; of `bottleneck_small` 8 pixels do
    least = max(pixels // 2 + 1, 9 if recipe.model.backbone.startswith("bottleneck") else 0)
    if recipe.precision == "bf16" and recipe.data.crop_px < least:
        raise UsageError(
            f"precision bf16: data.crop_px ({recipe.data.crop_px}) must be at least {least} with "
            f"{recipe.model.backbone} on a CPU, which gets gradients of smaller pictures wrong",
            hint="`--set precision=fp32`",
        )


def check_crop(network: Network, size_px: int, key: str) -> None:
    """Refuse pictures that are too small for `network`: small ones are tried, once.

    Raises:
        RecipeError: They are; `key` names their size in the recipe.
    """
    if size_px > TRIED_PX:
        return
    pixels = next(network.parameters()).new_zeros((1, *network.view.shape(size_px)))
    was_training = network.training
    try:
        with torch.no_grad():
            network.eval()(pixels)
    except RuntimeError as error:
        reason = str(error).partition("\n")[0]
        raise RecipeError(f"{key} ({size_px}): too small for the network ({reason})") from None
    finally:
        network.train(was_training)


def slow_precision(recipe: Recipe, device: torch.device) -> str | None:
    """Warning where a GPU (before Ampere) has no arithmetic for bfloat16; else None."""
    if device.type != "cuda" or recipe.precision != "bf16":
        return None
    if torch.cuda.is_bf16_supported(including_emulation=False):
        return None
    return "this GPU has no arithmetic for bf16: --set precision=fp16 is faster"


def gpu_meant(recipe: Recipe, device: torch.device) -> str | None:
    """Warning where a network made for a GPU is about to be trained on a CPU; else None."""
    is_small = recipe.model.backbone in FOR_SMALL_FRAMES
    if device.type != "cpu" or is_small or torch.cuda.is_available():  # there, the CPU was chosen
        return None
    why = "no CUDA device is found"
    if torch.version.cuda is None and torch.version.hip is None:
        why = "this PyTorch is built without CUDA"
    warning = f"training {recipe.model.backbone} on the CPU ({why}) may take days"
    if (body := _small_body(recipe)) is None:
        return warning
    edits = f"--set model.backbone={body} --set model.weights=null"
    if recipe.model.init is not None:  # weights of the large one
        edits += " --set model.init=null, without --init,"
    return f"{warning}: {edits} is a network for a CPU"


def _small_body(recipe: Recipe) -> Backbone | None:
    """The first network for a CPU that the rest of the recipe fits; None: there is none."""
    own = recipe.model_dump(exclude_unset=True)
    for body in FOR_SMALL_FRAMES:
        model = own["model"] | {"backbone": body, "weights": None, "init": None}
        with suppress(ValidationError):
            Recipe.model_validate(own | {"model": model}, context=WRITTEN)
            return body
    return None
