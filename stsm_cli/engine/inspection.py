"""What `stsm inspect` shows: samples of a training, a test's answers, and where they come from.

Nothing is trained or tested here: pixels are those that the loaders of training and test hand over,
and answers those that a test of the run kept.

Shapes: T frames a view, C channels, H × W pixels, K classes.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from stsm_cli.config.schema import DataConfig, Recipe
from stsm_cli.data.dataset import check_place, open_split
from stsm_cli.data.decode import Decoder
from stsm_cli.data.frames import Frames, VideoInfo
from stsm_cli.data.loader import epoch_order
from stsm_cli.data.manifest import Manifest, VideoRecord
from stsm_cli.data.samples import Sample, TestSet, TrainingSet
from stsm_cli.data.videos import Videos
from stsm_cli.engine.accuracy import ClassResult, answers, class_results, confusion_matrix
from stsm_cli.engine.gradcam import grad_cam
from stsm_cli.engine.kept_tests import KeptTest
from stsm_cli.engine.predict import Predictor, alone, look_at, score_all
from stsm_cli.engine.resuming import check_class_list, check_same_flow
from stsm_cli.engine.score_files import SavedScores
from stsm_cli.engine.scores import Scores
from stsm_cli.engine.step import normalise
from stsm_cli.errors import DataError
from stsm_cli.models.network import Network
from stsm_cli.printable import command_line
from stsm_cli.progress import SILENT, Progress

MOST_CONFUSIONS = 20  # ours: that are shown, the commonest first
MOST_RIGHT = 4  # ours: right answers that are shown, each of another class
DRAWS = 4  # ours: training samples of one video file that are shown
_CENTRE = {1: 0, 3: 2, 10: 8}
"""Place of the middle crop among those of a test, by their number."""
Heat = npt.NDArray[np.float32]


class AnswerGroup(NamedTuple):
    """Videos of one class with the same answer."""

    label: int
    answer: int
    videos: int
    """How many they are."""
    surest: int
    """Row of the one whose answer scored highest."""


@dataclass(frozen=True)
class Looked:
    """A group of videos, and the surest of them.

    Attributes:
        group: Their class and answer.
        record: The surest.
        probability: Of its answer.
        own: Of its class.
        sample: Its middle view in the test.
        heat: Grad-CAM (L, T, H, W) of that view: of the answer, and of its class where that is
            another; None where it does not decode any more.
    """

    group: AnswerGroup
    record: VideoRecord
    probability: float
    own: float
    sample: Sample
    heat: Heat | None


@dataclass(frozen=True)
class RunInspection:
    """What a run saw, and what it made of it.

    Attributes:
        train: The training split.
        samples: The first ones of the first epoch, in their order.
        classes: Counts of every class, in label order.
        answered: (K,) how often each class was the answer.
        confused: The commonest wrong answers.
        right: Sure right answers.
    """

    train: Manifest
    samples: tuple[Sample, ...]
    classes: tuple[ClassResult, ...]
    answered: npt.NDArray[np.int64]
    confused: tuple[Looked, ...]
    right: tuple[Looked, ...]

    def drawn(self) -> Iterator[tuple[Sample, VideoRecord]]:
        """The training samples, each with its video."""
        return ((sample, self.train.records[sample.index]) for sample in self.samples)


@dataclass(frozen=True)
class VideoInspection:
    """What training and test take from a video file, and what a network says of it.

    Attributes:
        info: Length, rate and size, and what is wrong with the file.
        picture: (H, W, 3), the frame in its middle, resized as all are.
        draws: Training samples of the first epochs.
        test: The views of the middle crop, (clips, T, H, W, 3); its boxes are those of all crops.
        probabilities: (K,); None without a network.
        heat: Grad-CAM (1, T, H, W) of the middle view and the likeliest class; None likewise.
    """

    info: VideoInfo
    picture: Frames
    draws: tuple[Sample, ...]
    test: Sample
    probabilities: torch.Tensor | None = None
    heat: Heat | None = None


def open_of_run(
    test: KeptTest, root: Path | None, decoder: Decoder, *, progress: Progress = SILENT
) -> tuple[Videos, Videos]:
    """The splits that a run was trained on and tested on, to be read from their files.

    Args:
        test: That the run keeps.
        root: The data set.
        decoder: Which library decodes.
        progress: Told of what is made, or measured, on the way.

    Raises:
        DataError: The data set is missing, or not the one of training and test.
    """
    recipe, fields = test.recipe, test.recipe.model.view.flow_fields
    if fields:
        check_same_flow(test.folder, recipe, check_place(recipe.data, root, fields))
    train, tested = (
        open_split(
            recipe.data,
            root,
            split,
            decoder=decoder,
            flow_fields=fields,
            budget_bytes=0,
            progress=progress,
        )
        for split in ("train", recipe.test.split)
    )
    check_class_list(test.folder, train.manifest)
    _check_tested(test, tested.manifest)
    return train, tested


def _check_tested(test: KeptTest, manifest: Manifest) -> None:
    """Refuse a split that is not the one of the test."""
    if {record.path: record.label for record in manifest.records} != test.scores.labels:
        again = command_line("eval", test.folder.path, "--data", manifest.root)
        raise DataError(
            f"{manifest.root}: its split {manifest.split} is not the one that {test.folder.path} "
            "was tested on",
            hint=f"`{again}` tests it on this one",
        )


def inspect_run(
    model: Network,
    test: KeptTest,
    train: Videos,
    tested: Videos,
    device: torch.device,
    *,
    num_samples: int,
    progress: Progress = SILENT,
) -> RunInspection:
    """A look at a run and at a test that it keeps.

    Args:
        model: The run's, on `device`.
        test: That the run keeps.
        train: The split it was trained on.
        tested: The split of the test.
        device: Where the model is.
        num_samples: Training samples.
        progress: Told of every video.
    """
    recipe, num_classes = test.recipe, len(test.scores.classes)
    scores = as_scores(test.scores, tested.manifest)
    groups = [*confusions(scores, num_classes), *right_answers(scores)]
    samples, looked = [], []
    with progress.bar("looking at videos", num_samples + len(groups)) as bar:
        for sample in training_samples(train, recipe, num_samples):
            samples.append(sample)
            bar.advance()
        for group in groups:
            looked.append(_look(model, tested, recipe, scores, group, device))
            bar.advance()
    return RunInspection(
        train.manifest,
        tuple(samples),
        tuple(class_results(scores, num_classes)),
        confusion_matrix(scores, num_classes).sum(0),
        tuple(one for one in looked if one.group.label != one.group.answer),
        tuple(one for one in looked if one.group.label == one.group.answer),
    )


def training_samples(videos: Videos, recipe: Recipe, number: int) -> Iterator[Sample]:
    """The first samples of a training, to the pixel: of its first epoch, in their order."""
    shown = TrainingSet(videos, recipe.data, recipe.model.view, recipe.seed)
    for index in epoch_order(videos.trained_on, recipe.seed, 0)[:number]:
        yield shown[0, int(index)]


def as_scores(saved: SavedScores, manifest: Manifest) -> Scores:
    """Scores that were kept of the videos of `manifest`, as a test has them."""
    places = {record.path: index for index, record in enumerate(manifest.records)}
    decoded = list(saved.probabilities)
    broken = [path for path in saved.labels if path not in saved.probabilities]
    return Scores(
        torch.from_numpy(np.stack(list(saved.probabilities.values()))),
        torch.tensor([saved.labels[path] for path in decoded]),
        tuple(places[path] for path in decoded),
        {places[path]: saved.labels[path] for path in broken},
    )


def confusions(scores: Scores, num_classes: int) -> list[AnswerGroup]:
    """The commonest wrong answers, `MOST_CONFUSIONS` at most; of equals the smaller label first."""
    matrix = confusion_matrix(scores, num_classes)
    np.fill_diagonal(matrix, 0)
    answer = answers(scores.probabilities)
    groups = []
    for place in np.argsort(-matrix, axis=None, kind="stable")[:MOST_CONFUSIONS]:
        label, taken = divmod(int(place), num_classes)
        if count := int(matrix[label, taken]):
            rows = ((scores.labels == label) & (answer == taken)).nonzero()[:, 0]
            groups.append(AnswerGroup(label, taken, count, _surest(scores, rows, taken)))
    return groups


def right_answers(scores: Scores) -> list[AnswerGroup]:
    """The surest right answers, `MOST_RIGHT` at most, each of another class."""
    right = answers(scores.probabilities) == scores.labels
    groups = []
    for label in scores.labels[right].unique().tolist():
        rows = (right & (scores.labels == label)).nonzero()[:, 0]
        groups.append(AnswerGroup(label, label, len(rows), _surest(scores, rows, label)))
    by_score = sorted(groups, key=lambda g: -float(scores.probabilities[g.surest, g.label]))
    return by_score[:MOST_RIGHT]


def _surest(scores: Scores, rows: torch.Tensor, answer: int) -> int:
    return int(rows[scores.probabilities[rows, answer].argmax()])


def _look(
    model: Network,
    videos: Videos,
    recipe: Recipe,
    scores: Scores,
    group: AnswerGroup,
    device: torch.device,
) -> Looked:
    index, row = scores.indices[group.surest], scores.probabilities[group.surest]
    sample = middle_crop(videos, index, recipe)
    heat = None
    if sample.pixels is not None:
        sample = middle_clip(sample)
        labels = dict.fromkeys((group.answer, group.label))
        heat = heat_of(model, sample, list(labels), device)
    probability, own = float(row[group.answer]), float(row[group.label])
    return Looked(group, videos.manifest.records[index], probability, own, sample, heat)


def heat_of(model: Network, sample: Sample, labels: list[int], device: torch.device) -> Heat:
    """Grad-CAM (L, T, H, W) of a sample of one view, as the network weighs it under each label."""
    pixels = torch.from_numpy(np.ascontiguousarray(sample.pixels)).movedim(-1, -3)
    view = normalise(pixels[None], model.view, device)  # (1, T, C, H, W)
    heat: Heat = grad_cam(model, view, labels).numpy()
    return heat


def middle_crop(videos: Videos, index: int, recipe: Recipe) -> Sample:
    """A video as its test sees it, less the views of all crops but the middle one."""
    test = recipe.test
    sample = TestSet(videos, recipe.data.sampling, test, recipe.model.view)[index]
    if sample.pixels is None:
        return sample
    first = _CENTRE[test.crops] * test.clips  # views are crop-major
    return replace(sample, pixels=sample.pixels[first : first + test.clips].copy())


def middle_clip(sample: Sample) -> Sample:
    """The middle one, (T, H, W, C), of the views of the middle crop."""
    assert sample.pixels is not None
    assert sample.frame_indices is not None
    middle, box = len(sample.pixels) // 2, sample.boxes[_CENTRE[len(sample.boxes)]]
    frame_indices = sample.frame_indices[middle]
    return replace(sample, pixels=sample.pixels[middle], frame_indices=frame_indices, boxes=(box,))


class Answering(NamedTuple):
    """A network that is asked about video files."""

    predictor: Predictor
    """By which it scores one."""
    model: Network
    device: torch.device


def inspect_video(
    path: Path, recipe: Recipe, decoder: Decoder, network: Answering | None = None
) -> VideoInspection:
    """What training and test by `recipe` take from a video file.

    Args:
        path: The file.
        recipe: Sampling, crops, sizes, the test's views and the seed.
        decoder: Which library decodes.
        network: Is asked about the video, too.

    Raises:
        DataError: The file does not decode.
    """
    info = look_at(path)
    videos = alone(path, info, recipe, ("",), decoder)
    shown = TrainingSet(videos, _without_labels(recipe.data), recipe.model.view, recipe.seed)
    draws = tuple(_read(shown[epoch, 0]) for epoch in range(min(DRAWS, recipe.optim.epochs)))
    test = _read(middle_crop(videos, 0, recipe))
    picture = videos.read(0, np.array([info.num_frames // 2]))[0]
    found = VideoInspection(info, picture, draws, test)
    if network is None:
        return found
    probabilities = score_all(network.predictor, videos)[0]
    likeliest = [int(probabilities.argmax())]
    heat = heat_of(network.model, middle_clip(test), likeliest, network.device)
    return replace(found, probabilities=probabilities, heat=heat)


def _read(sample: Sample) -> Sample:
    """The sample, which must have been read."""
    if sample.pixels is None:
        raise DataError(sample.error)
    return sample


def _without_labels(config: DataConfig) -> DataConfig:
    """The same crops and mirror images, where no classes are known that a mirror could swap."""
    return config.model_copy(update={"flip": "plain"}) if config.flip == "label_aware" else config
