import torch

from stsm_cli.engine.environment import describe_environment


def test_without_git_there_is_no_commit(monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    assert describe_environment(torch.device("cpu"), "pyav")["commit"] is None
