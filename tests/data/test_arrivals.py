from types import SimpleNamespace

import pytest

from stsm_cli.data.arrivals import Arrivals


def arrivals(due, came, *, codec="h264", interlaced=False):
    watched = Arrivals(SimpleNamespace(codec_context=SimpleNamespace(name=codec)))
    for pts in due:
        watched.expect(SimpleNamespace(size=9, pts=pts, is_discard=False))
    for pts in came:
        watched.note(SimpleNamespace(pts=pts, interlaced_frame=interlaced))
    return watched.gap


@pytest.mark.parametrize(
    ("came", "gap"),
    [
        ((0, 1, 2, 3, 4), ""),
        ((0, 1, 3, 4), "1 frame between the others does not come"),
        ((0, 4), "3 frames between the others do not come"),
        ((2, 3, 4), ""),  # the first were cut off
        ((), ""),
    ],
)
def test_what_is_due_between_others_must_come(came, gap):
    assert arrivals(range(5), came) == gap


def test_where_packets_do_not_tell_frames_nothing_is_missed():
    assert arrivals(range(5), (0, 4), codec="vp8") == ""
    assert arrivals(range(5), (0, 4), interlaced=True) == ""
    assert arrivals(range(5), (0, 9)) == ""  # time stamps are guessed
