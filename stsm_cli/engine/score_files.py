"""Files a test leaves on request: all scores, from which its numbers follow, and a row a class.

torch is not imported here: `check_writable` answers at once.
"""

import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from stsm_cli.atomic import write_file
from stsm_cli.engine.saved_files import check_file
from stsm_cli.errors import DataError, UsageError
from stsm_cli.printable import csv_cell

if TYPE_CHECKING:
    from stsm_cli.engine.testing import Evaluation


def check_writable(option: str, path: Path, suffix: str) -> None:
    """Refuse before a long test what could not be written after it.

    Raises:
        UsageError: The name has another suffix, is a folder's, or its folder takes no files.
    """
    if path.suffix != suffix:
        raise UsageError(f"{option} {path}: the name must end in {suffix}")
    check_file(option, path)


@dataclass(frozen=True)
class SavedScores:
    """Contents of a file of `write_scores`.

    Attributes:
        labels: Label of each listed video by its path; those that do not decode come last.
        probabilities: Class probabilities (K,) of each that decodes, float32, by its path.
        classes: Names of the K classes.
        test: Protocol of the test that they are of, and SHA-256 of its weights and of its list.
    """

    labels: dict[str, int]
    probabilities: dict[str, npt.NDArray[np.float32]]
    classes: tuple[str, ...]
    test: tuple[str, str, str]


def read_scores(path: Path) -> SavedScores:
    """The scores in a file of `write_scores`.

    Raises:
        DataError: It cannot be read, or is no such file.
    """
    try:
        with path.open("rb") as opened, np.load(opened) as file:
            paths, broken = file["paths"].tolist(), file["broken_paths"].tolist()
            labels = [*file["labels"].tolist(), *file["broken_labels"].tolist()]
            rows, classes = file["probabilities"], tuple(file["classes"].tolist())
            test = str(file["protocol"]), str(file["weights_sha256"]), str(file["list_sha256"])
        known = dict(zip((*paths, *broken), labels, strict=True))
        return SavedScores(known, dict(zip(paths, rows, strict=True)), classes, test)
    except Exception as error:  # of a damaged file zipfile, zlib and numpy raise almost anything
        raise DataError(f"{path}: not a file of scores ({error})") from error


def write_scores(path: Path, tested: "Evaluation") -> None:
    """Every video's class probabilities, as an `.npz` file that `numpy.load` reads.

    `paths`, `labels` and `probabilities` (float32, M × K) are of the M videos that decode, in
    manifest order; `broken_paths` and `broken_labels` of those that do not and count as wrong.
    `classes` are the K names; `protocol`, `weights_sha256` and `list_sha256` say whose they are.

    Raises:
        StsmError: The file cannot be written.
    """
    scores, records = tested.scores, tested.manifest.records
    content = io.BytesIO()
    np.savez_compressed(
        content,
        paths=np.array([records[index].path for index in scores.indices]),
        labels=scores.labels.numpy(),
        probabilities=scores.probabilities.numpy(),
        broken_paths=np.array([records[i].path for i in scores.broken_labels], dtype=np.str_),
        broken_labels=np.array(list(scores.broken_labels.values()), dtype=np.int64),
        classes=np.array(tested.manifest.classes),
        protocol=np.array(tested.result.protocol),
        weights_sha256=np.array(tested.result.weights_sha256),
        list_sha256=np.array(str(tested.result.list_sha256)),
    )
    write_file(path, content.getvalue())


def write_class_results(path: Path, tested: "Evaluation") -> None:
    """A CSV with a row a class, in label order.

    Columns: `class`, `videos` (those that do not decode included), `correct`, `accuracy` (percent;
    empty without videos), `confused_with` (the class its videos are most often taken for) and
    `confused` (how many).

    Raises:
        StsmError: The file cannot be written.
    """
    from stsm_cli.engine.accuracy import class_results

    classes = tested.manifest.classes
    table = io.StringIO(newline="")
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(("class", "videos", "correct", "accuracy", "confused_with", "confused"))
    for row in class_results(tested.scores, len(classes)):
        accuracy = f"{100 * row.correct / row.videos:.2f}" if row.videos else ""
        partner = "" if row.confused_with is None else csv_cell(classes[row.confused_with])
        name = csv_cell(classes[row.label])
        writer.writerow((name, row.videos, row.correct, accuracy, partner, row.confused))
    write_file(path, table.getvalue().encode())
