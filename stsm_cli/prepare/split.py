"""A training and a validation part, drawn by chance, of videos that have no split of their own."""

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Container, Mapping, Sequence
from dataclasses import replace

from stsm_cli.prepare.listing import Draw, ListedVideo, Listing
from stsm_cli.prepare.tree import stem

_UCF101 = re.compile(r"v_.+_g(\d+)_c\d+")  # clips of one group are cut from the same video

SplitGroup = tuple[str, str]  # a class and a name: what belongs into one split


def draw_split(listing: Listing, draw: Draw, usable: Container[str | None]) -> Listing:
    """The listing with a validation part drawn from its training part.

    Only usable videos are drawn. Each class is split for itself and keeps something to train on; it
    gives its share, rounded, and at least one video if it has two groups. A group is a video with
    its copies, or the clips that UCF101's names put together; one that is in two classes stays in
    training. The order is that of SHA-256, so a video that is added later moves few others.

    Args:
        listing: Its videos are all in `train`.
        draw: How to draw.
        usable: Paths of the videos that can be used.
    """
    videos = listing.splits["train"]
    group_of = _groups(listing)
    classes: dict[int, dict[SplitGroup, list[ListedVideo]]] = defaultdict(lambda: defaultdict(list))
    for video in videos:
        if video.path in usable:
            classes[video.label][group_of[video]].append(video)
    num_classes = Counter(group for groups in classes.values() for group in groups)
    mixed = {group for group, count in num_classes.items() if count > 1}
    chosen = {video for groups in classes.values() for video in _choose(groups, mixed, draw)}
    splits = {
        "train": tuple(video for video in videos if video not in chosen),
        "val": tuple(video for video in videos if video in chosen),
    }
    return replace(listing, splits=splits, notes=(*listing.notes, *_notes(listing, draw)))


def _choose(
    groups: Mapping[SplitGroup, Sequence[ListedVideo]], mixed: Container[SplitGroup], draw: Draw
) -> list[ListedVideo]:
    """The validation videos of a class, from its groups; none of those that are mixed."""
    wanted = max(1, round(draw.val_share * sum(map(len, groups.values()))))
    order = [group for group in groups if group not in mixed]
    order.sort(key=lambda group: (len(groups[group]) > wanted, _lot(draw.seed, group)))
    if len(order) == len(groups):
        order.pop()  # something to train on
    chosen: list[ListedVideo] = []
    for group in order:
        if len(chosen) < wanted:
            chosen += groups[group]
    return chosen


def _groups(listing: Listing) -> dict[ListedVideo, SplitGroup]:
    """The group of each video; copies join groups."""
    videos = listing.splits["train"]
    groups = {video: (listing.classes[video.label], _name(video)) for video in videos}
    by_path = {video.path: group for video, group in groups.items()}
    joined: dict[SplitGroup, SplitGroup] = {}

    def whole(group: SplitGroup) -> SplitGroup:
        while group in joined:
            group = joined[group]
        return group

    for path, original in listing.copies.items():
        one, other = whole(by_path[path]), whole(by_path[original])
        if one != other:
            joined[one] = other
    return {video: whole(group) for video, group in groups.items()}


def _name(video: ListedVideo) -> str:
    match = _UCF101.fullmatch(stem(video.name))
    return match[1] if match else video.name


def _lot(seed: int, group: SplitGroup) -> bytes:
    return hashlib.sha256("/".join((str(seed), *group)).encode()).digest()


def _notes(listing: Listing, draw: Draw) -> list[str]:
    share = f"{draw.val_share:.0%} of the usable videos of each class, at least one,"
    notes = [f"no split found: {share} drawn for validation, seed {draw.seed}"]
    if any(_UCF101.fullmatch(stem(video.name)) for video in listing.splits["train"]):
        notes.append("clips of one UCF101 group (v_X_gNN_cMM) are in the same split")
    return notes
