import pytest
import torch

from stsm_cli.engine.device import choose_device
from stsm_cli.errors import UsageError


def test_auto_is_cuda_where_there_is_one():
    expected = "cuda" if torch.cuda.is_available() else "cpu"
    assert choose_device("auto").type == expected
    assert choose_device("cpu").type == "cpu"


@pytest.mark.parametrize("name", ["abacus", "cuda:99", "meta"])
def test_what_is_not_here_is_refused(name):
    with pytest.raises(UsageError, match=f"--device {name}: not available here"):
        choose_device(name)
