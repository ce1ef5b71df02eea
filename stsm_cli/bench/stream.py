"""What a frame of a stream costs: one by one, and by a window that is computed anew each time."""

from functools import partial

import torch

from stsm_cli.bench.peak import peak_bytes
from stsm_cli.bench.record import Table
from stsm_cli.bench.turns import Stopwatch, Variant, milliseconds, ratio, take_turns
from stsm_cli.config.schema import Recipe
from stsm_cli.errors import UsageError
from stsm_cli.models.build import build_model
from stsm_cli.models.network import Network
from stsm_cli.models.stream import FrameStream
from stsm_cli.models.tsn import TSN
from stsm_cli.progress import SILENT, Progress

NUM_CLASSES = 400  # where the recipe leaves them open
STREAM = "frame by frame"


def measure_stream(
    recipe: Recipe, rounds: int, stopwatch: Stopwatch, progress: Progress = SILENT
) -> Table:
    """Time and memory of the next frame's scores, in float32, of an untrained network.

    Args:
        recipe: Its network; frames are as large as in its test.
        rounds: Frames that are timed.
        stopwatch: Takes the time.
        progress: Told how it goes.

    Raises:
        UsageError: Frames of the network see later ones.
    """
    network = _network(recipe).to(stopwatch.device).channels_last().eval()
    try:
        stream = FrameStream(network)
    except ValueError as error:
        way = "`--set model.shift.dims=T-+H+W` shifts from the past alone"
        hint = way if isinstance(network, TSN) and recipe.model.shift else None
        raise UsageError(f"{recipe.model.backbone}: {error}", hint=hint) from None
    videos = torch.randn(1, *network.view.shape(recipe.test.crop_px), device=stopwatch.device)
    window = f"a window of {network.view.num_frames} frames"
    variants: dict[str, Variant] = {
        window: torch.inference_mode()(lambda _: network(videos)),
        STREAM: lambda _: stream.step(videos[:, 0]),
    }
    with progress.bar("frames", (rounds + 1) * len(variants)) as bar:
        seconds = take_turns(variants, rounds, stopwatch, bar)
    kept = {window: videos[:, 1:].nbytes, STREAM: stream.num_bytes}
    rows = {
        name: {
            "ms": milliseconds(seconds, name),
            "ratio_first": ratio(seconds, name, window),
            "mb": peak_bytes(partial(run, 0), stopwatch.device) / 1e6,
            "mb_kept": kept[name] / 1e6,
        }
        for name, run in variants.items()
    }
    return Table("the scores of the next frame", rows)


def _network(recipe: Recipe) -> Network:
    classes = recipe.model.num_classes or NUM_CLASSES
    return build_model(recipe.model.without_start(num_classes=classes))
