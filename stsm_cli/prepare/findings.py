"""The report on a prepared data set: `manifest/report.json`, `problems.csv`, and a table."""

import csv
import io
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import chain, islice
from pathlib import Path
from typing import Any

import av

from stsm_cli.atomic import whole_file
from stsm_cli.data.catalog import known_counts, load_card
from stsm_cli.data.counts import SplitCounts, report_path
from stsm_cli.data.manifest import hash_of
from stsm_cli.prepare.check import MISSING, Check
from stsm_cli.prepare.listing import ListedVideo, Listing
from stsm_cli.prepare.transcode import Encoding
from stsm_cli.prepare.workers import UNFORESEEN
from stsm_cli.printable import counted, csv_cell, size

Checks = Mapping[str, Check]
"""The finding on every listed file, by its path."""

Problem = tuple[str, str, str, str]
"""A video, its split, its status and the reason."""
_PROBLEM_COLUMNS = ("video", "split", "status", "reason")
_PROBLEMS_SHOWN = 5
COLUMNS = ("split", "listed", "present", "usable", "missing", "corrupt", "short")
_NAMES_SHOWN = 3
_IN_WORDS = {"listed": "officially listed", "present": "in the official archives"}


def check_of(video: ListedVideo, checks: Checks) -> Check:
    """The finding on a listed video."""
    return MISSING if video.path is None else checks[video.path]


def build_report(
    listing: Listing, checks: Checks, *, dataset: str, quick: bool, encoding: Encoding | None
) -> dict[str, Any]:
    """The contents of `report.json`.

    Args:
        listing: The data set.
        checks: What was found.
        dataset: Its name, as recipes call it.
        quick: Whether only ends and middles were decoded.
        encoding: How the videos were re-encoded; None: they were not.
    """
    counts = {
        split: split_counts(check_of(video, checks) for video in videos)
        for split, videos in listing.splits.items()
    }
    known = (_compare(dataset, split, count.usable) for split, count in counts.items())
    problems = _problems(listing, checks)
    return {
        "schema": "stsm.prepare/1",
        "dataset": dataset,
        "num_classes": len(listing.classes),
        "class_hash": hash_of(listing.classes),
        "splits": {split: count.as_dict() for split, count in counts.items()},
        "unlisted": len(listing.unlisted),
        "duplicates": len(_repeated(listing)),
        "conflicts": dict(listing.conflicts),
        "faults": dict(listing.faults),
        "left_out": dict(listing.left_out),
        "unforeseen": sum(check.reason.startswith(UNFORESEEN) for check in checks.values()),
        "passing": count_passing(checks),
        "notes": [
            *listing.notes,
            *filter(None, known),
            *_tell_copies(listing, checks),
            *_tell_complaints(checks),
        ],
        "drawn": asdict(listing.draw) if listing.draw else None,
        "classes_without_usable": _classes_without_usable(listing, checks),
        "num_problems": len(problems),
        "first_problems": first_problems(problems),
        "verification": "quick" if quick else "full",
        "verified_by": decoder_version(),
        "transcode": _transcode(listing.root, encoding, checks) if encoding else None,
    }


def split_counts(checks: Iterable[Check]) -> SplitCounts:
    """Counts of a split's videos by their finding."""
    found = Counter(check.status for check in checks)
    counts = (found[status] for status in ("ok", "missing", "corrupt", "short"))
    return SplitCounts(found.total(), *counts)


def _repeated(listing: Listing) -> list[str]:
    """Names that are listed or found again, and say the same."""
    return [name for name in listing.duplicates if name not in listing.conflicts]


def count_passing(checks: Checks) -> int:
    """Number of videos that failed for a reason that may pass, such as memory that ran out."""
    failed = (check.reason for check in checks.values() if not check.lasting)
    return sum(not reason.startswith(UNFORESEEN) for reason in failed)


def tell_passing(count: int) -> list[str]:
    """A warning of so many, or none."""
    told = "videos whose reason may pass (time, memory, disk); the same command tries them again"
    return [f"warning: {told}: {count:,}"] if count else []


def _compare(dataset: str, split: str, usable: int) -> str | None:
    """A sentence on the counts that are known for this split; None where none are."""
    known = known_counts(dataset).get(split)
    if not known:
        return None
    others = (f"{count:,} {_IN_WORDS.get(who, who)}" for who, count in known.items())
    return f"{split}: {usable:,} usable; known are {', '.join(others)}"


def _tell_copies(listing: Listing, checks: Checks) -> list[str]:
    copies = _usable_copies(listing, checks)
    if not copies:
        return []
    train = {video.path for video in listing.splits["train"]}
    leaks = sum((first in train) != (path in train) for path, first in copies.items())
    leak = f"; warning: {leaks:,} of them would validate what is trained on"
    told = leak if leaks else ", each in that video's split"
    mixed = len(_mixed_copies(listing, copies))
    told += f"; warning: {mixed:,} of them under another class" if mixed else ""
    return [f"copies, byte for byte, of another video: {len(copies):,}{told}"]


def _tell_complaints(checks: Checks) -> Iterator[str]:
    """Sentences on oddities of usable videos; the ledger names each with its reason."""
    num_misleading = sum(check.from_start for check in checks.values())
    if num_misleading:
        yield f"videos that are read from their start, as seeks in them mislead: {num_misleading:,}"
    num_noted = sum(check.status == "ok" and bool(check.note) for check in checks.values())
    if num_noted:
        yield f"usable videos of which FFmpeg complains, though no frame is damaged: {num_noted:,}"


def _mixed_copies(listing: Listing, copies: Mapping[str, str]) -> dict[str, str]:
    """The copies that are of another class than the video they copy, each with that class."""
    label = {video.path: video.label for videos in listing.splits.values() for video in videos}
    return {
        path: listing.classes[label[first]]
        for path, first in copies.items()
        if label[path] != label[first]
    }


def _usable_copies(listing: Listing, checks: Checks) -> dict[str, str]:
    """The copies that matter: broken downloads, say, are often alike."""
    copies = listing.copies.items()
    return {path: first for path, first in copies if checks[path].status == "ok"}


def _classes_without_usable(listing: Listing, checks: Checks) -> dict[str, list[str]]:
    """Of each split that lists videos the classes that it can show none of."""
    without = {}
    for split, videos in listing.splits.items():
        labels = {video.label for video in videos if check_of(video, checks).status == "ok"}
        names = [name for label, name in enumerate(listing.classes) if label not in labels]
        without[split] = names if videos else []
    return without


def _problems(listing: Listing, checks: Checks) -> list[Problem]:
    """Every video that is not usable, not listed once, or a copy, and what could not be looked at.

    The broken ones come first.
    """
    problems = [
        (video.path or video.name, split, check.status, check.reason)
        for split, videos in listing.splits.items()
        for video in videos
        if (check := check_of(video, checks)).status != "ok"
    ]
    problems.sort(key=lambda problem: problem[2] == "missing")
    spares = chain(*listing.spares.values())
    tried = {path: checks[path] for path in spares if path in checks}
    copies = _usable_copies(listing, checks)
    mixed = _mixed_copies(listing, copies)
    classes = {path: f", which is {name!r}" for path, name in mixed.items()}
    return [
        *problems,
        *((path, "", "unreadable", why) for path, why in listing.faults.items()),
        *((name, "", "conflict", why) for name, why in listing.conflicts.items()),
        *((path, "", "unlisted", "no list names it") for path in listing.unlisted),
        *((name, "", *_why_again(tried.get(name))) for name in _repeated(listing)),
        *(
            (path, "", "copy", f"byte for byte {first}{classes.get(path, '')}")
            for path, first in copies.items()
        ),
    ]


def _why_again(tried: Check | None) -> tuple[str, str]:
    """Status and reason of what is listed or found again; of a file that was tried its own."""
    if tried is not None and tried.status != "ok":
        return tried.status, tried.reason
    return "duplicate", "listed or found more than once; the first one that is sound counts"


def write_report(root: Path, report: Mapping[str, Any]) -> None:
    """Write `report.json`, whole or not at all.

    Raises:
        OSError: It cannot be written.
    """
    # what is not UTF-8 in a name becomes an escape of JSON's
    with whole_file(report_path(root)) as file:
        file.write(
            json.dumps(report, indent=2, ensure_ascii=False).encode(errors="backslashreplace")
        )


def write_problems(root: Path, listing: Listing, checks: Checks) -> None:
    """Write `problems.csv`, for people and their spreadsheets, whole or not at all.

    Raises:
        OSError: It cannot be written.
    """
    with whole_file(root / "manifest" / "problems.csv") as file:
        file.write(problems_csv(_problems(listing, checks)))


def problems_csv(problems: Iterable[Problem]) -> bytes:
    """The file of problems, a line each."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_PROBLEM_COLUMNS)
    writer.writerows(map(csv_cell, problem) for problem in problems)
    return text.getvalue().encode()


def title(report: Mapping[str, Any]) -> str:
    """The title on the data set's card."""
    return load_card(report["dataset"]).title


def rows(report: Mapping[str, Any]) -> list[list[str]]:
    """The report as a table of `COLUMNS`, a row a split."""
    return [
        [split, *(str(counts[column]) for column in COLUMNS[1:])]
        for split, counts in report["splits"].items()
    ]


def sentences(report: Mapping[str, Any]) -> list[str]:
    """The sentences below the table."""
    said = list(report["notes"])
    for split, names in report["classes_without_usable"].items():
        if names:
            shown = ", ".join(names[:_NAMES_SHOWN]) + (", ..." if len(names) > _NAMES_SHOWN else "")
            told = f"classes without a usable video: {len(names)} of {report['num_classes']}"
            said.append(f"warning: {split}: {told} ({shown})")
    said += _warnings(report)
    duplicates = counted(report["duplicates"], "duplicate")
    said.append(f"{report['unlisted']:,} unlisted, {duplicates}")
    if report["left_out"]:
        said.append(f"left out, no videos by their suffix: {_few(report['left_out'])}")
    if report["num_problems"]:
        said += [f"  {text}" for text in report["first_problems"]]
        problems = counted(report["num_problems"], "problem")
        said.append(f"{problems} in all, in manifest/problems.csv")
    if report["verification"] == "quick":
        said.append("quick: only the ends and the middle of each video were decoded")
    else:
        said.append("every frame of every video was decoded")
    if report["transcode"]:
        made = report["transcode"]
        said.append(
            f"re-encoded in {made['folder']}: short side {made['short_side_px']}, a key frame "
            f"every {made['gop']}, {size(made['bytes'])} ({size(made['bytes_before'])} before)"
        )
    classes = counted(report["num_classes"], "class", "classes")
    said.append(f"{classes}, list {report['class_hash']}")
    return said


def _warnings(report: Mapping[str, Any]) -> list[str]:
    """Warnings of what needs attention besides broken videos."""
    named = {
        "videos listed under two labels or in both splits": report["conflicts"],
        "folders, links and names that could not be read": report["faults"],
    }
    warnings = [
        f"warning: {what}: {len(found):,}, such as {name}: {why}"
        for what, found in named.items()
        for name, why in islice(found.items(), 1)
    ]
    if report["unforeseen"]:
        told = "videos on which the program itself failed, please report why"
        warnings.append(f"warning: {told}: {report['unforeseen']:,}")
    return [*warnings, *tell_passing(report["passing"])]


def _few(counts: Mapping[str, int]) -> str:
    """The first of them, and how many kinds there are besides."""
    shown = [f"{count:,} {name}" for name, count in counts.items()]
    more = len(shown) - _NAMES_SHOWN
    return ", ".join(shown[:_NAMES_SHOWN]) + (f" and {more} more kinds" if more > 0 else "")


def first_problems(problems: Sequence[Problem]) -> list[str]:
    """The first of them in words."""
    return [
        f"{split} {video}: {status}, {reason}".lstrip()
        for video, split, status, reason in problems[:_PROBLEMS_SHOWN]
    ]


def _transcode(root: Path, encoding: Encoding, checks: Checks) -> dict[str, Any]:
    made = {path: check.made_bytes for path, check in checks.items() if check.status == "ok"}
    return {
        "folder": encoding.folder,
        "short_side_px": encoding.short_side_px,
        "gop": encoding.gop,
        "crf": encoding.crf,
        "encoder": f"libx264 by {decoder_version()}",
        "bytes": sum(made.values()),
        "bytes_before": sum((root / path).stat().st_size for path in made),
    }


def decoder_version() -> str:
    """The versions of PyAV and of its decoders."""
    version = ".".join(map(str, av.library_versions["libavcodec"]))
    return f"PyAV {av.__version__}, libavcodec {version}"
