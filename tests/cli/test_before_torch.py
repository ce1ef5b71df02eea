"""What is wrong with a command, its data or its weights is told before torch is imported."""

import subprocess
import sys
from pathlib import Path

import pytest

from stsm_cli.data.manifest import Manifest, VideoRecord, write_manifest

COMMANDS = {
    "eval nowhere": "nowhere: not a run folder",
    "eval --crops 7": "test.crops must be 1, 3 or 10, got 7",
    "eval --protocol 3x3": "3x3",
    "eval --set test.crop=32": "test.crop: unknown key",
    "eval --scores a.txt": "--scores a.txt",
    "eval --decoder eyes": "--decoder: 'eyes' is not available here",
    "eval --device gpu": "--device gpu: not available here",
    "eval folder/tsm_r50_8f --checkpoint runs/small/checkpoints/last.pt --data no": "no: no such",
    "eval synth/stsm --checkpoint text.pt": "text.pt: not a readable checkpoint (it is a text",
    "predict a.mp4 --crops 7": "test.crops must be 1, 3 or 10, got 7",
    "predict a.mp4 --decoder eyes": "--decoder: 'eyes' is not available here",
    "predict a.mp4 --device gpu": "--device gpu: not available here",
    "predict a.mp4": "a.mp4: no such file",
    "predict a.mp4 --save text.pt": "--save text.pt: is a file, not a folder",
    "predict a.mp4 --window 8": "--window 8: belongs to --save DIR",
    "predict --camera 99": "--camera 99: cannot be opened (",
    "predict synth/tsn a.mp4": "synth/tsn: is a recipe, not a run folder",
    "predict none.onnx a.mp4": "none.onnx: cannot be read (No such file",
    "predict text.onnx a.mp4": "text.onnx: not a readable ONNX file (it is a text file)",
    "predict text.onnx": "text.onnx: is a network, and no video is named",
    "predict text.onnx a.mp4 --best": "text.onnx: is a whole network for the CPU, without --run",
    "predict a.mp4 --recipe synth/stsm --checkpoint text.pt": "text.pt: not a readable checkpoint",
    "fuse nowhere nowhere": "nowhere: not a run folder",
    "fuse runs/small runs/small": "runs/small: is the first run, too",
    "export -o a.pth": "--out a.pth: must end in .onnx",
    "export nowhere -o a.onnx": "nowhere: not a run folder",
    "export text.pt --recipe synth/stsm -o a.onnx": "text.pt: not a readable checkpoint",
    "export text.pt --recipe synth/slowfast_atfr -o a.pt2": "--out a.pt2: is one graph for all vid",
    "inspect nowhere": "nowhere: no such run folder or video",
    "inspect": "runs/small: keeps no scores of synth-1x1@28",
    "inspect --crops 7": "test.crops must be 1, 3 or 10, got 7",
    "inspect text.pt": "text.pt: is a network, not a video",
    "inspect --device gpu": "--device gpu: not available here",
    "inspect --video a.mp4 --decoder eyes": "--decoder: 'eyes' is not available here",
    "inspect --video a.mp4 -o a.txt": "--out a.txt: must end in .html",
    "export --crops 7": "test.crops must be 1, 3 or 10, got 7",
    "train --device gpu": "--device gpu: not available here",
    "train k400/tsm_r50_8f --data no": "no: no such data root",
    "train folder/tsm_r50_8f --data broken": "broken/manifest/train.csv:2: 6 columns expected",
    "train folder/tsm_r50_8f --data whole --set data.flip=label_aware": "whole: data.flip is",
    "train --data text.pt/a": "text.pt/a: cannot be written (Not a directory)",
    "train --out text.pt/a": "--out text.pt/a: cannot be written (Not a directory)",
    "eval --per-class text.pt/a.csv": "--per-class text.pt/a.csv: cannot be written (Not a dir",
    "predict a.mp4 --save text.pt/a": "--save text.pt/a: cannot be written (Not a directory)",
    "export -o text.pt/a.onnx": "--out text.pt/a.onnx: cannot be written (Not a directory)",
    "fuse a b --per-class text.pt/a.csv": "--per-class text.pt/a.csv: cannot be written (Not a",
    "convert text.pt -o text.pt/a.safetensors": "--out text.pt/a.safetensors: cannot be written",
    "train --init text.pt": "text.pt: not a readable checkpoint (it is a text file)",
    "ablate alpha --device gpu": "--device gpu: not available here",
    "convert text.pt --from mit -o a.safetensors": "text.pt: not a readable checkpoint",
    "convert none.pt --from mit -o a.safetensors": "none.pt: cannot be read",
}


@pytest.fixture
def bad(small_run):
    """What is wrong, beside a run that is not."""
    for name in ("text.pt", "text.onnx"):
        Path(name).write_text("no weights")
    record = VideoRecord("a.mp4", 0, 8, 8.0, 20, 20)
    for split in ("train", "val"):
        for root in ("broken", "whole"):
            write_manifest(Manifest(Path(root), split, ("a", "b"), (record,)))
    with Path("broken/manifest/train.csv").open("w") as file:
        file.write("path,label,frames,fps,width,height\na.mp4\n")
    return small_run


def test_what_needs_no_torch_is_told_before_it_is_imported(bad):
    code = (
        "import sys\n"
        "from stsm_cli.cli.app import run\n"
        f"for words in {list(COMMANDS)}:\n"
        "    assert run(words.split()), words\n"
        "    assert 'torch' not in sys.modules, words\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    told = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(told) == len(COMMANDS)
    for line, (words, message) in zip(told, COMMANDS.items(), strict=True):
        assert message in line, words
