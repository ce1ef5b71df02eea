"""The archives of Kinetics-400 as CVDF offers them: fetched, and unpacked.

    ROOT/archives/{train,val}/part_N.tar.gz             flat files {youtube id}_{start}_{end}.mp4
    ROOT/archives/replacement_for_corrupted_k400.tgz    a folder of such files
    ROOT/annotations/{train,val}.csv

is what `download_k400` makes; `unpack_k400` takes such archives from anywhere below ROOT, fills
ROOT/{train,val,replacement}, and never touches those of the test split. Once unpacked, the archives
may be deleted.

Source: https://github.com/cvdfoundation/kinetics-dataset (k400_downloader.sh, k400_extractor.sh).
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from stsm_cli.errors import raise_problems
from stsm_cli.prepare.archives import Archive, unpack, was_unpacked
from stsm_cli.prepare.download import Download, download_files
from stsm_cli.prepare.lists import read_lines
from stsm_cli.prepare.tree import Tree, folder_of, split_of
from stsm_cli.progress import SILENT, Progress

K400_URL = "https://s3.amazonaws.com/kinetics/400"
_REPLACEMENT = "replacement_for_corrupted_k400.tgz"
_UNPACKED_SIZE = 1.0  # of an archive's: videos do not compress


def download_k400(
    root: Path,
    *,
    base_url: str = K400_URL,
    splits: Sequence[str] = ("train", "val"),
    jobs: int = 4,
    progress: Progress = SILENT,
) -> None:
    """Fetch lists, annotations and archives into ROOT/archives and ROOT/annotations.

    What is there, or was unpacked before, is not fetched again.

    Args:
        root: The data root.
        base_url: Where the files lie, for mirrors: arranged as at `K400_URL`.
        splits: `train`, `val` or both.
        jobs: Files at a time.
        progress: Shows the megabytes.

    Raises:
        DataError: A list names no URL, the disk is too small, or a file cannot be had.
    """
    base_url = base_url.rstrip("/")
    lists = {split: f"archives/k400_{split}_path.txt" for split in splits}
    small = {path: f"{base_url}/{split}/k400_{split}_path.txt" for split, path in lists.items()}
    small |= {f"annotations/{split}.csv": f"{base_url}/annotations/{split}.csv" for split in splits}
    download_files(_downloads(root, small), jobs=jobs, progress=progress)
    archives = {f"archives/{_REPLACEMENT}": f"{base_url}/{_REPLACEMENT}"}
    for split, path in lists.items():
        for name, url in _listed_parts(root / path, base_url).items():
            archives[f"archives/{split}/{name}"] = url
    missing = {p: url for p, url in archives.items() if not was_unpacked(_archive(root, p))}
    download_files(
        _downloads(root, missing), jobs=jobs, then_needs=_UNPACKED_SIZE, progress=progress
    )


def unpack_k400(tree: Tree, progress: Progress) -> int:
    """Unpack the archives that are below the root and not yet unpacked; how many there were.

    Raises:
        DataError: An archive is not whole, is not what it should be, or cannot be unpacked.
    """
    parts = [
        path for path in tree.named(r"part_\d+\.tar\.gz") if split_of(folder_of(path)) != "test"
    ]
    parts.sort(key=lambda path: (folder_of(path), len(path), path))  # 2 before 10
    replacements = tree.named(re.escape(_REPLACEMENT))
    elsewhere = {path.rpartition("/")[2] for path in tree.videos if not is_replacement(path)}
    count = unpack([_archive(tree.root, path) for path in replacements], progress=progress)
    archives = [_archive(tree.root, path) for path in parts]
    return count + unpack(archives, keep=elsewhere, progress=progress)


def is_replacement(path: str) -> bool:
    """Tell whether a video came from the archive that replaces corrupted files."""
    return "/replacement" in f"/{folder_of(path)}"


def _archive(root: Path, path: str) -> Archive:
    into = "replacement" if path.endswith(_REPLACEMENT) else split_of(folder_of(path)) or "videos"
    return Archive((root / path,), root / into)


def _downloads(root: Path, urls: Mapping[str, str]) -> list[Download]:
    return [Download(url, root / path) for path, url in urls.items()]


def _listed_parts(path: Path, base_url: str) -> dict[str, str]:
    """The URLs in a list of archives by the name of the file."""
    parts: dict[str, str] = {}
    problems = []
    for where, url in read_lines(path):
        name = PurePosixPath(urlsplit(url).path).name
        if not url.startswith(("http://", "https://")) or not name.endswith(".tar.gz"):
            problems.append(f"{where}: expected the URL of a .tar.gz file, got {url!r}")
        elif name in parts:
            problems.append(f"{where}: {name} is listed twice")
        else:
            official = url.startswith(f"{K400_URL}/")
            parts[name] = base_url + url.removeprefix(K400_URL) if official else url
    if not parts and not problems:
        problems.append(f"{path}: lists no URL")
    raise_problems(problems, hint=f"delete {path} and download again")
    return parts
