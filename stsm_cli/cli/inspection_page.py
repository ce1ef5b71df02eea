"""The pages of `stsm inspect`: what was found, in words, pictures and tables."""

from collections.abc import Iterator, Sequence
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stsm_cli.analysis.contact_sheet import (
    FLOW_STRENGTH,
    Grid,
    PageBlock,
    Picture,
    SheetChapter,
    Strip,
    Words,
    as_rgb,
    boxed,
    heated,
    smaller,
)
from stsm_cli.cli.predict import ranked
from stsm_cli.config.schema import Recipe
from stsm_cli.data.crops import Crop
from stsm_cli.data.manifest import VideoRecord
from stsm_cli.data.samples import Sample
from stsm_cli.engine.inspection import (
    Heat,
    Looked,
    RunInspection,
    VideoInspection,
    middle_clip,
)
from stsm_cli.engine.kept_tests import KeptTest
from stsm_cli.printable import counted, one_line

if TYPE_CHECKING:
    from torch import Tensor

MOST_FRAMES = 16  # ours: of a view that are shown, evenly spread
MOST_NAMED = 10  # broken videos, and classes that are never an answer
MOST_LIKELY = 5  # classes of a video


def run_chapters(found: RunInspection, test: KeptTest) -> list[SheetChapter]:
    """The page of a run and of a test that it keeps."""
    named, recipe = tuple(map(one_line, test.scores.classes)), test.recipe
    return [
        SheetChapter("run", "The run", [*_about_run(found, test, named)]),
        SheetChapter("training", "What training sees", [*_training(found, recipe, named)]),
        SheetChapter("classes", "Classes", [_classes(found, named)]),
        SheetChapter("confusions", "Worst confusions", [*_confused(found, recipe, named)]),
        SheetChapter("right", "Right answers", [*_right(found, recipe, named)]),
    ]


def _about_run(found: RunInspection, test: KeptTest, classes: Sequence[str]) -> Iterator[PageBlock]:
    result = test.result
    low, high = result.top1_interval
    yield _text(
        f"{one_line(str(test.folder.path))}: recipe {result.name}, "
        f"tested under {result.protocol} on "
        f"{counted(result.num_listed, 'video')} of {counted(len(classes), 'class', 'classes')}: "
        f"top-1 {result.top1:.1f} % [{low:.1f}, {high:.1f}], mean of the classes "
        f"{result.mean_class:.1f} %."
    )
    if result.broken:
        broken = _named(list(map(one_line, result.broken)))
        yield _text(f"Did not decode in the test, and count as wrong: {broken}.")
    if silent := [classes[k] for k in np.flatnonzero(found.answered == 0).tolist()]:
        yield _text(f"Never an answer: {_named(silent)}.")


def _training(found: RunInspection, recipe: Recipe, classes: Sequence[str]) -> Iterator[PageBlock]:
    data, seed = recipe.data, recipe.seed
    shown = "pixel by pixel as the network gets them"
    if recipe.model.stream == "flow":
        shown = f"as optical flow, {FLOW_STRENGTH} times as strong, x in red and y in green"
    yield _text(
        f"The first {counted(len(found.samples), 'sample')} of the first epoch, in the order of "
        f"seed {seed}, {shown}: sampling {data.sampling}, crops "
        f"{data.train_crop} of {data.crop_px}² pixels from a short side of {data.short_side_px}, "
        f"mirror images {data.flip}."
    )
    for sample, record in found.drawn():
        yield _heading(classes[sample.label])
        yield from _seen(sample, record, recipe)


def _classes(found: RunInspection, classes: Sequence[str]) -> Grid:
    """All classes, the worst first."""
    by_accuracy = sorted(
        found.classes, key=lambda row: row.correct / row.videos if row.videos else inf
    )
    rows = []
    for row in by_accuracy:
        taken = "" if row.confused_with is None else classes[row.confused_with]
        share = f"{100 * row.correct / row.videos:.1f}" if row.videos else ""
        times = str(row.confused) if row.confused else ""
        answered = str(found.answered[row.label])
        cells = classes[row.label], str(row.videos), str(row.correct), share, answered, taken, times
        rows.append(cells)
    columns = ["class", "videos", "right", "right, %", "answers", "most often taken for", "times"]
    return Grid(columns, rows)


def _confused(found: RunInspection, recipe: Recipe, classes: Sequence[str]) -> Iterator[PageBlock]:
    yield _text(_ABOUT_HEAT if found.confused else "There are none.")
    for looked in found.confused:
        group, videos = looked.group, found.classes[looked.group.label].videos
        yield _heading(
            f"{classes[group.label]} taken for {classes[group.answer]}: {group.videos} of "
            f"{counted(videos, 'video')}"
        )
        yield from _looked(looked, recipe, classes)


_ABOUT_HEAT = (
    "Of each, the video that scored the wrong class highest, as its test sees it in its middle "
    "view; below, Grad-CAM: what speaks for a class glows, from dark over red to yellow, as a "
    "share of the view's maximum."
)


def _right(found: RunInspection, recipe: Recipe, classes: Sequence[str]) -> Iterator[PageBlock]:
    yield _text("The surest, each of another class." if found.right else "There are none.")
    for looked in found.right:
        videos = found.classes[looked.group.label].videos
        about = f"{looked.group.videos} of {counted(videos, 'video')}"
        yield _heading(f"{classes[looked.group.label]}: {about}")
        yield from _looked(looked, recipe, classes)


def _looked(looked: Looked, recipe: Recipe, classes: Sequence[str]) -> Iterator[PageBlock]:
    """Frames of an example, and the same under Grad-CAM, of its answer and of its class."""
    answer, label = looked.group.answer, looked.group.label
    yield from _seen(looked.sample, looked.record, recipe, is_small=True)
    if looked.heat is None:
        return
    scores = {answer: looked.probability, label: looked.own}
    for (k, score), heat in zip(scores.items(), looked.heat, strict=True):
        yield _glowing(looked.sample, heat, f"{classes[k]}, {100 * score:.1f} %", recipe)


def _seen(
    sample: Sample, record: VideoRecord, recipe: Recipe, *, is_small: bool = False
) -> Iterator[PageBlock]:
    """A strip of a sample of one view, or why there is none."""
    path = one_line(record.path)
    if sample.pixels is None:
        yield _text(f"{path}: was not read ({one_line(sample.error)})")
        return
    yield _strip(f"{path}: {_crop(sample.boxes[0])}", sample, record, recipe, is_small=is_small)


def _strip(
    text: str, sample: Sample, record: VideoRecord, recipe: Recipe, *, is_small: bool = False
) -> Strip:
    assert sample.pixels is not None
    assert sample.frame_indices is not None
    chosen = _shown(recipe)
    frames = as_rgb(sample.pixels[chosen])
    numbers = sample.frame_indices[chosen]
    captions = [frame_and_time(int(number), record.fps) for number in numbers]
    pictures = map(Picture, smaller(frames) if is_small else frames, captions)
    places = (sample.frame_indices + 0.5) / record.num_frames
    return Strip(text, list(pictures), places.tolist())


def _glowing(sample: Sample, heat: Heat, text: str, recipe: Recipe) -> Strip:
    assert sample.pixels is not None
    glowing = heated(as_rgb(sample.pixels), heat)[_shown(recipe)]
    return Strip(text, [Picture(frame) for frame in smaller(glowing)])


def _shown(recipe: Recipe) -> list[int]:
    """Which frames of a view are shown: of those read at a position the middle one."""
    view = recipe.model.view
    middles = range(view.consecutive // 2, view.num_frames, view.consecutive)
    if len(middles) <= MOST_FRAMES:
        return list(middles)
    return [middles[round(place)] for place in np.linspace(0, len(middles) - 1, MOST_FRAMES)]


def video_chapter(
    place: int,
    path: Path,
    found: VideoInspection,
    recipe: Recipe,
    classes: Sequence[str],
    asked: str,
) -> SheetChapter:
    """The chapter of a video file.

    Args:
        place: Among the chapters.
        path: The file.
        found: What was found.
        recipe: What is read by.
        classes: Names in label order; none without a network.
        asked: The network's name; empty without one.
    """
    named = list(map(one_line, classes))
    facts = [*video_facts(found), *sampling_notes(found, recipe)]
    blocks: list[PageBlock] = [_text(f"{'; '.join(facts)}.")]
    blocks += [*_answer(found, recipe, named, asked), *_trained_on(found, recipe)]
    blocks += _tested_on(found, recipe)
    return SheetChapter(f"video{place}", one_line(str(path)), blocks)


def video_facts(found: VideoInspection) -> Iterator[str]:
    """What a file holds, and what is wrong with it, in words."""
    info = found.info
    rate = f"{info.fps:g} frames a second" if info.fps else "no frame rate"
    length = f"{info.num_frames / info.fps:.2f} s, " if info.fps else ""
    size = f"{info.width} × {info.height} pixels"
    yield f"{counted(info.num_frames, 'frame')}, {length}{rate}, {size}"
    if info.num_damaged:
        yield f"{info.num_damaged} of its frames damaged"
    yield from filter(None, (info.shortfall, *info.faults))


def sampling_notes(found: VideoInspection, recipe: Recipe) -> Iterator[str]:
    """What a user should know of how training and test read the file."""
    yield f"crops are of the picture at a short side of {recipe.data.short_side_px} pixels"
    clips = found.test.frame_indices
    assert clips is not None
    total, fewest = clips.shape[1], min(len(np.unique(clip)) for clip in clips)
    if fewest < total:
        yield f"of the {total} frames of a clip {fewest} differ: it is short for this sampling"


def _answer(
    found: VideoInspection, recipe: Recipe, classes: Sequence[str], asked: str
) -> Iterator[PageBlock]:
    if found.probabilities is None or found.heat is None:
        return
    likeliest = _likeliest(found.probabilities, classes)
    yield _heading(f"What {one_line(asked)} says")
    yield Grid(["class", "%"], likeliest)
    yield _glowing(middle_clip(found.test), found.heat[0], f"Grad-CAM of {likeliest[0][0]}", recipe)


def _likeliest(probabilities: "Tensor", classes: Sequence[str]) -> list[tuple[str, str]]:
    """Names of the likeliest classes, and their probabilities (K,) in percent."""
    best = ranked(probabilities, classes, MOST_LIKELY)
    return [(name, f"{100 * value:.1f}") for name, value in best]


def answer_note(found: VideoInspection, classes: Sequence[str], asked: str) -> Iterator[str]:
    """What the network `asked` says of the video, in a line; nothing without one."""
    if found.probabilities is not None:
        likeliest = _likeliest(found.probabilities, classes)
        yield f"{asked} says " + ", ".join(f"{name} {share} %" for name, share in likeliest)


def _trained_on(found: VideoInspection, recipe: Recipe) -> Iterator[PageBlock]:
    data = recipe.data
    yield _heading("Training")
    yield _text(
        f"What the first {counted(len(found.draws), 'epoch')} would take of it, by chance: "
        f"sampling {data.sampling}, crops {data.train_crop} of {data.crop_px}² pixels from a short "
        f"side of {data.short_side_px}, mirror images {data.flip}."
    )
    yield _crops(found, [box for draw in found.draws for box in draw.boxes])
    record = _record(found)
    for epoch, draw in enumerate(found.draws, 1):
        yield _strip(f"epoch {epoch}: {_crop(draw.boxes[0])}", draw, record, recipe)


def _tested_on(found: VideoInspection, recipe: Recipe) -> Iterator[PageBlock]:
    test = recipe.test
    yield _heading("Test")
    yield _text(
        f"{recipe.protocol}: {counted(test.clips, 'clip')} × {counted(test.crops, 'crop')} of "
        f"{test.crop_px}² pixels; the clips below are of the middle crop."
    )
    yield _crops(found, found.test.boxes)
    for number, clip in enumerate(clips_of(found.test), 1):
        yield _strip(f"clip {number}", clip, _record(found), recipe)


def _crops(found: VideoInspection, boxes: Sequence[Crop]) -> Strip:
    each = "; ".join(dict.fromkeys(map(_crop, boxes)))
    return Strip(f"the crops: {each}", [Picture(boxed(found.picture, boxes))])


def clips_of(test: Sample) -> Iterator[Sample]:
    """The clips of the middle crop, each a sample of one view."""
    assert test.pixels is not None
    assert test.frame_indices is not None
    for pixels, frame_indices in zip(test.pixels, test.frame_indices, strict=True):
        yield Sample(0, 0, pixels, frame_indices=frame_indices, boxes=test.boxes)


def _record(found: VideoInspection) -> VideoRecord:
    info = found.info
    return VideoRecord("", 0, info.num_frames, info.fps, info.width, info.height)


def frame_and_time(number: int, fps: float) -> str:
    """A frame's number and, where the rate is known, its time."""
    return f"{number} · {number / fps:.2f} s" if fps else str(number)


def _crop(box: Crop) -> str:
    mirrored = ", mirrored" if box.mirrored else ""
    return f"x {box.x1}-{box.x2}, y {box.y1}-{box.y2} px{mirrored}"


def sample_record(sample: Sample, fps: float) -> dict[str, Any]:
    """What a sample of one view is of, as JSON has it; of one that was not read, why."""
    if sample.frame_indices is None:
        return {"error": sample.error}
    box = sample.boxes[0]
    return _frames_record(sample, fps) | {"box": box[:4], "mirrored": box.mirrored}


def _frames_record(sample: Sample, fps: float) -> dict[str, Any]:
    assert sample.frame_indices is not None
    numbers = sample.frame_indices.tolist()
    return {"frames": numbers, "seconds": [number / fps for number in numbers] if fps else None}


def video_record(found: VideoInspection, classes: Sequence[str]) -> dict[str, Any]:
    """What is read of a video file, and what it holds by a network, as JSON has it."""
    info = found.info
    record: dict[str, Any] = {
        **{"frames": info.num_frames, "fps": info.fps, "size": (info.width, info.height)},
        "faults": list(video_facts(found))[1:],
        "training": [sample_record(draw, info.fps) for draw in found.draws],
        "test": {
            "clips": [_frames_record(clip, info.fps) for clip in clips_of(found.test)],
            "crops": [box._asdict() for box in found.test.boxes],
        },
    }
    if found.probabilities is not None:
        by_class = zip(classes, found.probabilities.tolist(), strict=True)
        record["probabilities"] = dict(by_class)
    return record


def video_rows(found: VideoInspection) -> list[list[str]]:
    """A row for each view of a video file: what it is, its frames, from when to when, its crop."""
    drawn = [
        [f"training, epoch {epoch}", *_cells(draw, found.info.fps), _crop(draw.boxes[0])]
        for epoch, draw in enumerate(found.draws, 1)
    ]
    crops = counted(len(found.test.boxes), "crop")
    tested = [
        [f"test, clip {number}", *_cells(clip, found.info.fps), crops]
        for number, clip in enumerate(clips_of(found.test), 1)
    ]
    return drawn + tested


def _cells(sample: Sample, fps: float) -> tuple[str, str]:
    assert sample.frame_indices is not None
    numbers = sample.frame_indices
    times = f"{numbers.min() / fps:.2f}-{numbers.max() / fps:.2f}" if fps else ""
    return ", ".join(map(str, numbers.tolist())), times


def _named(names: Sequence[str]) -> str:
    more = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {more:,} more" if more > 0 else "")


def _text(text: str) -> Words:
    return Words("paragraph", text)


def _heading(text: str) -> Words:
    return Words("heading", text)
