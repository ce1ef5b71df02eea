"""Pickles of Caffe2 from PySlowFast's model zoo."""

import os
import pickle
from collections import OrderedDict

import numpy as np
import pytest
import torch

from stsm_cli.errors import CheckpointError
from stsm_cli.models.weights_caffe2 import pyslowfast_name, read_caffe2
from stsm_cli.models.weights_convert import convert
from stsm_cli.models.weights_file import read_pickle

NAMES = {
    "conv1_w": "s1.pathway0_stem.conv.weight",
    "t_conv1_w": "s1.pathway1_stem.conv.weight",
    "res_conv1_bn_s": "s1.pathway0_stem.bn.weight",
    "t_res_conv1_bn_riv": "s1.pathway1_stem.bn.running_var",
    "res2_0_branch1_w": "s2.pathway0_res0.branch1.weight",
    "t_res2_0_branch1_bn_b": "s2.pathway1_res0.branch1_bn.bias",
    "res4_5_branch2c_bn_rm": "s4.pathway0_res5.branch2.c_bn.running_mean",
    "t_res3_3_branch2a_w": "s3.pathway1_res3.branch2.a.weight",
    "t_pool1_subsample_w": "s1_fuse.conv_f2s.weight",
    "t_pool1_subsample_bn_s": "s1_fuse.bn.weight",
    "t_res4_5_branch2c_bn_subsample_w": "s4_fuse.conv_f2s.weight",
    "t_res2_2_branch2c_bn_subsample_bn_rm": "s2_fuse.bn.running_mean",
    "pred_w": "head.projection.weight",
    "pred_b": "head.projection.bias",
}


@pytest.mark.parametrize(("theirs", "name"), NAMES.items())
def test_a_blob_is_called_as_in_pytorch(theirs, name):
    assert pyslowfast_name(theirs) == name


@pytest.mark.parametrize(
    "name", ["nonlocal_conv3_1_theta_w", "res2_0_branch3_w", "mlp_w", "conv1_q"]
)
def test_a_blob_of_nobody_known_keeps_its_name(name):
    assert pyslowfast_name(name) == name


def blobs():
    rng = np.random.default_rng(0)
    arrays = {name: rng.normal(size=(2, 3)).astype(np.float32) for name in NAMES}
    return arrays | {"conv1_w_momentum": np.ones(2), "lr": np.ones(1), "model_iter": np.ones(1)}


def saved(path, content, protocol=2):
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    return path


@pytest.mark.parametrize("protocol", [2, 4])
def test_arrays_become_tensors_and_the_optimiser_stays_behind(protocol, tmp_path):
    arrays = blobs()
    content = {"blobs": OrderedDict(arrays), "cfg": "MODEL: {}", "best": np.float64(75.6)}
    path = saved(tmp_path / "a.pkl", content, protocol)
    found = read_pickle(path)["model_state"]
    assert list(found) == list(NAMES.values())
    for theirs, name in NAMES.items():
        assert torch.equal(found[name], torch.from_numpy(arrays[theirs]))


def test_bytes_of_python_2_are_read(tmp_path):
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        b"(K\x01K\x03\x85cnumpy\ndtype\nU\x02f8K\x00K\x01\x87R"
        b"(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U\x18"
    )
    array += np.arange(3.0).tobytes() + b"tb"
    (tmp_path / "a.pkl").write_bytes(b"\x80\x02}U\x05blobs}U\x06pred_b" + array + b"ss.")
    assert read_caffe2(tmp_path / "a.pkl")["head.projection.bias"].tolist() == [0, 1, 2]


def test_the_file_is_pyslowfast_s(tmp_path):
    path = saved(tmp_path / "a.pkl", {"blobs": blobs()})
    with pytest.raises(
        CheckpointError, match=r"a.pkl: not pyslowfast's slowfast_resnet50, .* miss"
    ):
        convert(path)


class Malicious:
    def __reduce__(self):
        return os.mkdir, ("broken_in",)


@pytest.mark.parametrize("content", [{"blobs": {"conv1_w": Malicious()}}, Malicious()])
def test_a_pickle_that_asks_for_code_is_refused_and_runs_nothing(content, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = (
        rf"a.pkl: refused, since it asks for {os.mkdir.__module__}.mkdir, which is neither an arr"
    )
    with pytest.raises(CheckpointError, match=said):
        read_pickle(saved(tmp_path / "a.pkl", content))
    assert [path.name for path in tmp_path.iterdir()] == ["a.pkl"]


@pytest.mark.parametrize("content", [[1], {"state_dict": {}}, {"blobs": [1]}, {"blobs": None}, 3])
def test_another_pickle_is_said_to_be_no_checkpoint(content, tmp_path):
    with pytest.raises(
        CheckpointError, match=r"a.pkl: not a checkpoint: a pickle, neither of torch"
    ):
        read_pickle(saved(tmp_path / "a.pkl", content))


def test_a_damaged_pickle_is_said_to_be_one(tmp_path):
    path = saved(tmp_path / "a.pkl", {"blobs": blobs()})
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(CheckpointError, match=r"a.pkl: not a readable checkpoint \(a damaged pick"):
        read_pickle(path)


@pytest.mark.parametrize("blob", ["text", [1.0], np.array(["text"]), np.array([None])], ids=repr)
def test_what_is_no_array_of_numbers_is_named(blob, tmp_path):
    path = saved(tmp_path / "a.pkl", {"blobs": {"pred_w": blob}})
    with pytest.raises(CheckpointError, match=r"a.pkl: 'head.projection.weight' is \w+, not a nam"):
        convert(path)


def test_numbers_that_are_no_weights_are_named(tmp_path):
    path = saved(tmp_path / "a.pkl", {"blobs": {"pred_b": np.array([1.0, np.nan])}})
    with pytest.raises(CheckpointError, match=r"a.pkl: head.projection.bias holds NaN"):
        convert(path)
