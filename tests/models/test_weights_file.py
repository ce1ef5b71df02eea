import os
import pickle
import sys
import zipfile
from argparse import Namespace
from collections import OrderedDict
from pathlib import Path
from types import ModuleType
from typing import ClassVar

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from stsm_cli.errors import CheckpointError
from stsm_cli.models.weights_file import read_pickle, read_safetensors, state_dict

FORMATS = pytest.mark.parametrize("new_format", [True, False])  # of PyTorch 1.6, and before


class Malicious:
    """Unpickled, it is what `function` returns."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@FORMATS
@pytest.mark.parametrize("function", [os.mkdir, os.system, eval, exec, print])
def test_a_file_that_asks_for_code_is_refused_and_runs_nothing(
    function, new_format, tmp_path, capsys
):
    folder, path = tmp_path / "broken_in", tmp_path / "theirs.pth"
    argument = {os.mkdir: str(folder), os.system: f"mkdir {folder}"}.get(
        function, f"__import__('os').mkdir({str(folder)!r})"
    )
    content = {"state_dict": {}, "meta": Malicious(function, argument)}
    torch.save(content, path, _use_new_zipfile_serialization=new_format)
    with pytest.raises(CheckpointError, match=r"pth: refused, since it asks for \S*") as caught:
        read_pickle(path)
    assert f"{function.__name__}, which is neither" in str(caught.value)
    assert "weights_only=False" in caught.value.hint
    assert not folder.exists()
    assert capsys.readouterr().out == ""


class HistoryBuffer:
    """As mmengine's: arrays, and methods by name."""

    methods: ClassVar = {}

    def __init__(self):
        self.log = np.array([1.0, 2.0])
        self.methods["mean"] = HistoryBuffer.mean

    def mean(self):
        return self.log.mean()

    def __getstate__(self):
        return self.__dict__ | {"methods": self.methods}


@FORMATS
def test_logs_and_scores_beside_the_weights_are_skipped(new_format, tmp_path, monkeypatch):
    module = ModuleType("mmengine.logging.history_buffer")
    module.HistoryBuffer = HistoryBuffer
    monkeypatch.setattr(HistoryBuffer, "__module__", module.__name__)
    content = {
        "state_dict": OrderedDict({"conv1.weight": torch.ones(2)}),
        "message_hub": {"log_scalars": OrderedDict(loss=HistoryBuffer())},
        "best_prec1": np.float64(71.2),
        "args": Namespace(lr=0.01, clips=[1, 2]),
        "epoch": 50,
    }
    with monkeypatch.context() as patch:
        for name in ("mmengine", "mmengine.logging", module.__name__):
            patch.setitem(sys.modules, name, module)
        torch.save(content, tmp_path / "a.pth", _use_new_zipfile_serialization=new_format)
    found = read_pickle(tmp_path / "a.pth")
    assert found["state_dict"]["conv1.weight"].tolist() == [1.0, 1.0]
    assert found["epoch"] == 50
    assert type(found["best_prec1"]).__name__ == "_Placeholder"
    assert type(found["message_hub"]["log_scalars"]["loss"]).__name__ == "_Placeholder"


def test_a_network_s_average_holds_its_weights_alone(tmp_path):
    average = torch.optim.swa_utils.AveragedModel(torch.nn.Linear(2, 1))
    torch.save({"state_dict": average.state_dict()}, tmp_path / "a.pth")
    found = read_pickle(tmp_path / "a.pth")["state_dict"]
    assert [*found] == ["module.weight", "module.bias"]


def test_what_stands_for_getattr_gets_nothing(tmp_path):
    torch.save({"meta": Malicious(getattr, "text", "upper")}, tmp_path / "a.pth")
    assert not callable(read_pickle(tmp_path / "a.pth")["meta"])
    with pytest.raises(pickle.UnpicklingError, match=r"GLOBAL (builtins\.)?getattr"):
        torch.load(tmp_path / "a.pth", weights_only=True)  # no longer allowed outside


@pytest.mark.parametrize("read", [read_pickle, read_safetensors])
def test_no_file(read):
    with pytest.raises(CheckpointError, match=r"no/such.pth: cannot be read \(No such file"):
        read(Path("no/such.pth"))


@pytest.mark.parametrize("read", [read_pickle, read_safetensors])
def test_a_folder(read, tmp_path):
    with pytest.raises(CheckpointError, match=f"{tmp_path}: cannot be read"):
        read(tmp_path)


@FORMATS
@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_a_truncated_checkpoint(share, new_format, tmp_path):
    path = tmp_path / "a.pth"
    torch.save({"x": torch.rand(1000)}, path, _use_new_zipfile_serialization=new_format)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(CheckpointError, match=r"a.pth: not a readable checkpoint \(") as caught:
        read_pickle(path)
    reason = "it is empty" if share == 0 else "not written by torch.save, or damaged"
    assert str(caught.value).endswith(f"({reason})")


@pytest.mark.parametrize("content", [b"hello, world\n" * 9, b"<html>404</html>", bytes(99)])
def test_another_kind_of_file(content, tmp_path):
    (tmp_path / "a.pth").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"a.pth: not a readable checkpoint \(") as caught:
        read_pickle(tmp_path / "a.pth")
    assert "weights_only" not in str(caught.value)


KINDS = [
    (b"", "it is empty"),
    (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "pointer of Git LFS"),
    (b"\n <!DOCTYPE html><title>Sign in</title>", "it is a web page"),
    (b"epoch,loss\n1,2.3\n", "it is a text file"),
    ("größe: 3\n".encode(), "it is a text file"),
]


@pytest.mark.parametrize(("content", "says"), KINDS)
@pytest.mark.parametrize(
    ("read", "kind"), [(read_pickle, "checkpoint"), (read_safetensors, "safetensors file")]
)
def test_files_of_another_kind_are_called_so(read, kind, content, says, tmp_path):
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(CheckpointError, match=rf"/a: not a readable {kind} \(.*{says}"):
        read(tmp_path / "a")


@pytest.mark.parametrize("read", [read_pickle, read_safetensors])
def test_a_pipe_is_not_waited_for(read, tmp_path):
    os.mkfifo(tmp_path / "a")
    with pytest.raises(CheckpointError, match=r"a: cannot be read \(not a file\)"):
        read(tmp_path / "a")


def test_a_compressed_archive_is_not_unpacked(tmp_path):
    torch.save({"x": torch.zeros(10**6)}, tmp_path / "plain.pth")
    with (
        zipfile.ZipFile(tmp_path / "plain.pth") as plain,
        zipfile.ZipFile(tmp_path / "bomb.pth", "w", zipfile.ZIP_DEFLATED) as bomb,
    ):
        for name in plain.namelist():
            bomb.writestr(name, plain.read(name))
    with pytest.raises(CheckpointError, match=r"bomb.pth: refused, since \d+ bytes would become 4"):
        read_pickle(tmp_path / "bomb.pth")


TENSORS = {
    "is stored as torch.sparse_coo": lambda: torch.eye(3).to_sparse(),
    "has a shape and no values": lambda: torch.zeros(3, device="meta"),
    "has type torch.complex64": lambda: torch.zeros(3, dtype=torch.complex64),
    "has type torch.quint8": lambda: torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.quint8),
    "has type torch.float8_e4m3fn": lambda: torch.zeros(3).to(torch.float8_e4m3fn),
    "has type torch.bool": lambda: torch.zeros(3, dtype=torch.bool),
    r"\(100000, 100000\) takes 40000000000 bytes, more": lambda: torch.ones(1).expand(10**5, 10**5),
    "is a single number": lambda: torch.tensor(3.0),
    "holds NaN or infinity": lambda: torch.tensor([1.0, torch.nan]),
}


@pytest.mark.filterwarnings("ignore")  # PyTorch's, of making such tensors
@pytest.mark.parametrize("says", TENSORS)
@pytest.mark.parametrize("around", [None, "state_dict", "model"])
def test_tensors_that_are_no_weights_are_named(around, says, tmp_path):
    state = {"ok": torch.ones(2), "fc.bias": TENSORS[says]()}
    torch.save({around: state} if around else state, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match=f"a.pth: fc.bias {says}"):
        read_pickle(tmp_path / "a.pth")


def test_what_lies_beside_the_weights_may_be_anything(tmp_path):
    content = {"state_dict": {"n.num_batches_tracked": torch.tensor(3)}, "lr": torch.tensor(0.1)}
    torch.save(content, tmp_path / "a.pth")
    assert read_pickle(tmp_path / "a.pth").keys() == content.keys()


@pytest.mark.parametrize("bad", [torch.zeros(2, dtype=torch.bool), torch.tensor([torch.inf])])
def test_tensors_of_safetensors_are_weights_too(bad, tmp_path):
    save_file({"fc.bias": bad}, tmp_path / "a.safetensors")
    with pytest.raises(CheckpointError, match=r"a.safetensors: fc.bias (has type|holds NaN)"):
        read_safetensors(tmp_path / "a.safetensors")


def test_no_dictionary(tmp_path):
    torch.save([1, 2], tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match=r"a.pth: not a checkpoint, holds list"):
        read_pickle(tmp_path / "a.pth")


def test_safetensors_with_their_header(tmp_path):
    save_file({"x": torch.arange(3.0)}, tmp_path / "a.safetensors", {"format": "mine"})
    tensors, metadata = read_safetensors(tmp_path / "a.safetensors")
    assert tensors["x"].tolist() == [0, 1, 2]
    assert metadata == {"format": "mine"}
    save_file({"x": torch.arange(3.0)}, tmp_path / "b.safetensors")
    assert read_safetensors(tmp_path / "b.safetensors")[1] == {}


@pytest.mark.parametrize("length", [0, 7, 50, -1])
def test_truncated_safetensors(length, tmp_path):
    path = tmp_path / "a.safetensors"
    save_file({"x": torch.rand(1000)}, path)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(CheckpointError, match=r"a.safetensors: not a readable safetensors file"):
        read_safetensors(path)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ({"model": "tsm_r50", "model_state_dict": {"w": 1}}, {"w": 1}),
        ({"model_state_dict": {"w": 1}, "optimizer_state_dict": {"state": 2}}, {"w": 1}),
        ({"state_dict": {"w": 1}, "model": {"v": 1}}, {"w": 1}),
        ({"state_dict": None}, None),
        ({"w": 1}, {"w": 1}),
    ],
)
def test_the_weights_are_the_first_dictionary_that_is_called_so(content, found):
    assert state_dict(content) == found


def test_a_safetensors_file_of_another_name_is_told(tmp_path):
    save_file({"x": torch.rand(3)}, tmp_path / "a.pth")
    with pytest.raises(
        CheckpointError, match=r"a\.pth: .* \(it is a safetensors file\)$"
    ) as caught:
        read_pickle(tmp_path / "a.pth")
    assert caught.value.hint == "call it FILE.safetensors"


@pytest.mark.parametrize("is_zip", [True, False])
def test_a_torch_file_that_is_called_safetensors_is_told(is_zip, tmp_path):
    path = tmp_path / "a.safetensors"
    torch.save({"x": torch.rand(3)}, path, _use_new_zipfile_serialization=is_zip)
    with pytest.raises(
        CheckpointError, match=r"a\.safeten.* \(it is a file of torch\.save\)$"
    ) as at:
        read_safetensors(path)
    assert at.value.hint == "call it FILE.pth"


def test_a_header_as_long_as_a_pickle_begins_is_of_safetensors(tmp_path):
    header = b'{"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'.ljust(0x0280)
    content = len(header).to_bytes(8, "little") + header + b"\0" * 4
    assert content.startswith(b"\x80\x02")
    (tmp_path / "a.safetensors").write_bytes(content)
    assert read_safetensors(tmp_path / "a.safetensors")[0]["x"].tolist() == [0]


@pytest.mark.filterwarnings("ignore")  # PyTorch's, of making one
def test_a_torchscript_archive_is_told(tmp_path):
    torch.jit.script(torch.nn.Linear(2, 2)).save(tmp_path / "a.pt")
    with pytest.raises(
        CheckpointError, match=r"a\.pt: .* \(it is a TorchScript archive, a pr"
    ) as at:
        read_pickle(tmp_path / "a.pt")
    assert "torch.jit.load(FILE).state_dict()" in at.value.hint
