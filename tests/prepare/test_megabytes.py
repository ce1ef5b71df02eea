from contextlib import contextmanager

from stsm_cli.prepare.megabytes import MB, megabytes


class Recorder:
    def __init__(self):
        self.bars, self.steps = [], []

    @contextmanager
    def bar(self, label, total):
        self.bars.append((label, total))
        yield self

    def advance(self, steps=1, status=""):
        self.steps.append((steps, status))


def test_a_bar_counts_whole_megabytes():
    progress = Recorder()
    with megabytes(progress, "download", 5 * MB // 2) as meter:
        meter.status = "a.tar.gz"
        for _ in range(4):
            meter.add(MB // 2)
    assert progress.bars == [("download (MB)", 3)]
    assert progress.steps == [(1, "a.tar.gz"), (1, "a.tar.gz")]


def test_what_is_taken_back_must_come_again():
    progress = Recorder()
    with megabytes(progress, "download", 3 * MB) as meter:
        for num_bytes in (2 * MB, -2 * MB, MB, MB, MB, MB):
            meter.add(num_bytes)
    assert progress.steps == [(2, ""), (1, "")]


def test_nothing_to_do_shows_no_bar():
    progress = Recorder()
    with megabytes(progress, "unpack", 0) as meter:
        meter.add(10)
    assert progress.bars == []
