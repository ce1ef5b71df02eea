import pytest
import torch

from stsm_cli.engine import device
from stsm_cli.engine.device import choose_device, choose_workers
from stsm_cli.errors import UsageError


def test_auto_is_cuda_where_there_is_one():
    expected = "cuda" if torch.cuda.is_available() else "cpu"
    assert choose_device("auto").type == expected
    assert choose_device("cpu").type == "cpu"


@pytest.mark.parametrize("name", ["abacus", "cuda:99", "meta"])
def test_what_is_not_here_is_refused(name):
    with pytest.raises(UsageError, match=f"--device {name}: not available here"):
        choose_device(name)


@pytest.fixture
def second_of_two(monkeypatch):
    for name in ("RANK", "LOCAL_RANK"):
        monkeypatch.setenv(name, "1")
    for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"):
        monkeypatch.setenv(name, "2")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_of_several_processes_none_has_a_device_where_there_is_none(second_of_two):
    with pytest.raises(UsageError, match="--device cuda: not available here") as caught:
        choose_device("cuda")
    assert caught.value.hint == "use auto, or cpu"


def test_of_several_processes_each_needs_a_device(second_of_two, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    message = "--device cuda: this machine has 1 for at least 2 processes"
    with pytest.raises(UsageError, match=message):
        choose_device("cuda")
    message = "--device cuda:0: is one device, and this is process 1 of 2"
    with pytest.raises(UsageError, match=message):
        choose_device("cuda:0")
    assert choose_device("cpu").type == "cpu"


@pytest.mark.parametrize(("cores", "workers"), [(1, 1), (3, 3), (64, 8)])
def test_one_reader_a_core_but_not_too_many(monkeypatch, cores, workers):
    monkeypatch.setattr(device, "num_cores", lambda: cores)
    assert choose_workers(None) == workers
    assert choose_workers(0) == 0
    assert choose_workers(20) == 20


def test_processes_of_a_machine_share_its_cores(second_of_two, monkeypatch):
    monkeypatch.setattr(device, "num_cores", lambda: 6)
    assert choose_workers(None) == 3
