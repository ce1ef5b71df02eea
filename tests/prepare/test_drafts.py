import os

from stsm_cli.atomic import process_mark
from stsm_cli.prepare.drafts import STALE_SECONDS, draft, remove_drafts

MARK = process_mark(os.getpid())


def test_a_name_may_be_as_long_as_the_disk_takes_it(tmp_path):
    names = [f"{'視' * 83}.{end}.mp4" for end in "ab"]
    with draft(tmp_path / names[0]) as first, draft(tmp_path / names[1]) as second:
        first.write_bytes(b"whole")
        second.write_bytes(b"whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == names


def test_drafts_of_the_dead_are_deleted_and_those_of_others_not(tmp_path):
    folder = tmp_path / "videos" / "class"
    folder.mkdir(parents=True)
    ours, others, old, made = (
        folder / name
        for name in (f"a.mp4.{MARK}.tmp", f"b.mp4.{os.getpid()}.tmp", "c.mp4.1.tmp", "d.mp4")
    )
    for path in (ours, others, old, made):
        path.touch()
    os.utime(old, (0, old.stat().st_mtime - STALE_SECONDS - 1))
    remove_drafts(tmp_path / "videos")
    assert sorted(folder.iterdir()) == [others, made]
