"""Which decoders there are, and that they bear with one another."""

import subprocess
import sys

import pytest

from stsm_cli.data.decode import (
    available_decoders,
    choose_decoder,
    default_decoder,
    read_frames,
)
from stsm_cli.errors import DataError, UsageError


def test_without_decord_pyav_reads(counters, monkeypatch):
    monkeypatch.setitem(sys.modules, "decord", None)
    assert available_decoders() == ("pyav",)
    assert default_decoder() == choose_decoder(None) == "pyav"
    with pytest.raises(DataError, match="decoder decord does not import here") as caught:
        read_frames(counters / "one.mp4", None, decoder="decord")
    assert caught.value.hint == "decoder pyav reads the same"
    with pytest.raises(UsageError, match="--decoder: 'decord' is not available here") as refused:
        choose_decoder("decord")
    assert refused.value.hint == "choose pyav"


def test_a_decoder_is_chosen_by_name():
    assert [choose_decoder(name) for name in available_decoders()] == list(available_decoders())
    assert choose_decoder(None) == default_decoder() == available_decoders()[0]
    with pytest.raises(UsageError, match="--decoder: 'opencv' is not available here"):
        choose_decoder("opencv")


@pytest.mark.skipif(len(available_decoders()) < 2, reason="decord does not import here")
@pytest.mark.parametrize("order", ["torch, decord, av", "av, decord, torch"])
def test_torch_decord_and_av_live_together(counters, order):
    code = (
        f"import {order}; from pathlib import Path; import numpy as np\n"
        "from stsm_cli.data.decode import read_frames\n"
        f"path = Path({str(counters / 'gop12.mp4')!r})\n"
        "both = [read_frames(path, np.array([9, 2]), decoder=d) for d in ('decord', 'pyav')]\n"
        "from stsm_cli.data.frames import resize_short_side\n"
        "assert (both[0] == both[1]).all() and resize_short_side(both[0], 24).shape[1] == 24\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_pyav_keeps_its_own_libraries_beside_decord(tmp_path):
    """Whoever asks for decoders first has both; decord's libvpx cannot encode for PyAV."""
    code = (
        "import sys; from stsm_cli.data.decode import available_decoders; available_decoders()\n"
        "import av; stream = av.open(sys.argv[1], 'w').add_stream('libvpx', rate=10)\n"
        "stream.width = stream.height = 32; stream.codec_context.open()"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "video.webm")]
    assert subprocess.run(command, capture_output=True, text=True).stderr == ""
