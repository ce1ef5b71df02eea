"""Classes that a network sees in any video file: a test's pipeline without a data set."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import torch

from stsm_cli.config.schema import Recipe
from stsm_cli.data.decode import Decoder, absent, probe
from stsm_cli.data.frames import VideoInfo
from stsm_cli.data.loader import Batch, evaluation_batches
from stsm_cli.data.manifest import Manifest, VideoRecord, classes_path, read_classes
from stsm_cli.data.mirror import Mirror
from stsm_cli.data.motion import MotionCurves, measure
from stsm_cli.data.videos import Videos
from stsm_cli.engine.scores import class_orders, score_videos
from stsm_cli.engine.testing import check_classes
from stsm_cli.engine.trained import Trained
from stsm_cli.errors import DataError
from stsm_cli.models.network import Network
from stsm_cli.progress import SILENT, Progress


@dataclass(frozen=True)
class Predictions:
    """Class probabilities (K,) of each video that could be read, and why the others could not.

    Attributes:
        probabilities: Of each video.
        damaged: How many frames of a video the decoder could not make right, where there are any.
        short: How early a video ends, where that is before the time it claims.
        faults: What else is wrong with a video's file.
        failed: Why a video could not be read.
    """

    probabilities: dict[Path, torch.Tensor]
    damaged: dict[Path, int]
    short: dict[Path, str]
    faults: dict[Path, tuple[str, ...]]
    failed: dict[Path, DataError]


@dataclass(frozen=True)
class Predictor:
    """What makes class probabilities of views, and which views it wants.

    Attributes:
        recipe: Sampling, size and the test protocol.
        classes: Names of the classes in label order.
        decoder: Which library decodes.
        score: Probabilities (N, K) of a batch of `views`.
        network: What computes them; None: another program.
    """

    recipe: Recipe
    classes: tuple[str, ...]
    decoder: Decoder
    score: Callable[[Batch], torch.Tensor]
    network: Network | None = None


def by_network(
    model: Network,
    recipe: Recipe,
    classes: tuple[str, ...],
    device: torch.device,
    *,
    decoder: Decoder,
    mirror: Mirror | None = None,
) -> Predictor:
    """A predictor whose probabilities are those of a test.

    Args:
        model: The network, on `device`.
        recipe: As in `Predictor`.
        classes: Likewise.
        decoder: Likewise.
        mirror: What it did to the classes in the training; None: what card or names say.
    """
    orders = class_orders(recipe, classes, recipe.test, mirror)

    def score(batch: Batch) -> torch.Tensor:
        return score_videos(
            model,
            [batch],
            device,
            precision=recipe.precision,
            average=recipe.test.average,
            class_orders=orders,
        ).probabilities

    return Predictor(recipe, classes, decoder, score, model)


def predict(
    predictor: Predictor, paths: Iterable[Path], *, progress: Progress = SILENT
) -> Predictions:
    """Class probabilities of video files, equal to those of a test for the same file.

    A video is decoded once to count its frames and once for those that are needed: memory does not
    grow with its length.
    """
    found, damaged, short, faults, failed = {}, {}, {}, {}, {}
    wanted = list(dict.fromkeys(paths))
    with progress.bar("predicting", len(wanted)) as bar:
        for path in wanted:
            try:
                info = look_at(path)
                found[path] = _predict_one(predictor, path, info)
                if info.num_damaged:
                    damaged[path] = info.num_damaged
                if info.shortfall:
                    short[path] = info.shortfall
                if info.faults:
                    faults[path] = info.faults
            except DataError as error:
                failed[path] = error
            bar.advance()
    return Predictions(found, damaged, short, faults, failed)


def look_at(path: Path) -> VideoInfo:
    """A video's length, rate and size, by decoding all of it.

    Raises:
        DataError: There is no such file, or it does not decode.
    """
    if problem := absent(path):
        raise problem
    return probe(path)


def follows_motion(predictor: Predictor) -> bool:
    """True where the frames it wants depend on the motion of the video."""
    return predictor.recipe.data.sampling == "motion"


def _predict_one(predictor: Predictor, path: Path, info: VideoInfo) -> torch.Tensor:
    videos = alone(path, info, predictor.recipe, predictor.classes, predictor.decoder)
    return score_all(predictor, videos)[0]


def alone(
    path: Path, info: VideoInfo, recipe: Recipe, classes: tuple[str, ...], decoder: Decoder
) -> Videos:
    """A video file as the only one of a split, its label 0; damaged frames are read, too."""
    record = VideoRecord(str(path), 0, info.num_frames, info.fps, info.width, info.height)
    motion = None
    if recipe.data.sampling == "motion":
        motion = MotionCurves.of([measure(path, info.num_frames, keep_damaged=True)])
    return Videos(
        Manifest(Path(), "predict", classes, (record,)),
        recipe.data.short_side_px,
        decoder,
        keep_damaged=True,
        motion=motion,
    )


def score_all(predictor: Predictor, videos: Videos) -> torch.Tensor:
    """Probabilities (M, K) of all `videos`, one after the other.

    Raises:
        DataError: One of them does not decode.
    """
    recipe, rows = predictor.recipe, []
    for batch in evaluation_batches(
        videos,
        recipe.data.sampling,
        recipe.test,
        view=recipe.model.view,
        batch_size=1,
        workers=0,
    ):
        for _, message in batch.broken.values():
            raise DataError(message)
        rows.append(predictor.score(batch))
    return torch.cat(rows)


def class_names(
    subject: Trained, data_root: Path | None, num_classes: int
) -> tuple[str, ...] | None:
    """The names of what `subject` knows: from its run or card, else from the data set's class list.

    Args:
        subject: What predicts.
        data_root: The data set; None: where the run found it, or its default place.
        num_classes: How many classes the weights know.

    Returns:
        The names in label order; None where there is no list.

    Raises:
        DataError: The data set's class list is not the one of the training.
    """
    if (known := subject.classes) is not None:
        return known
    root = data_root or subject.data_root or subject.recipe.data.place()
    if data_root is None and not classes_path(root).is_file():
        return None
    names = read_classes(classes_path(root))
    check_classes(subject, Manifest(root, "", names, ()), num_classes)
    return names
