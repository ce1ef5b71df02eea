import json

import pytest

from stsm_cli.cli.app import run
from stsm_cli.engine import checkups
from stsm_cli.engine.doctor import Checkup, Seen


def fail():
    raise OSError("no such thing")


@pytest.fixture(autouse=True)
def few(monkeypatch):
    """Checks that need no torch."""
    checks = (
        Checkup("sky", lambda: Seen("blue"), "", needed=True),
        Checkup("sea", fail, "fill it"),
    )
    monkeypatch.setattr(checkups, "CHECKS", checks)
    return checks


@pytest.fixture
def failing(monkeypatch, few):
    monkeypatch.setattr(checkups, "CHECKS", (*few, Checkup("sun", fail, "wait", needed=True)))


def test_each_check_is_a_line_with_its_remedy_and_the_report_comes_last(capsys):
    assert run(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines[2:7]] == [
        ["check", "state", "found", "remedy"],
        ["-----", "-------", "----------------------", "-------"],
        ["sky", "ok", "blue"],
        ["sea", "warning", "OSError:", "no", "such", "thing", "fill", "it"],
        [],
    ]
    assert lines[7] == "all that `stsm train` needs works"
    assert lines[-2:] == ["sky: ok, blue", "sea: warning, OSError: no such thing"]


def test_json_is_one_object(capsys):
    assert run(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["schema"], found["can_train"]) == ("stsm.doctor/1", True)
    assert found["checks"][0] == {"name": "sky", "state": "ok", "text": "blue", "remedy": ""}
    assert found["report"].endswith("sea: warning, OSError: no such thing")


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_what_training_needs_makes_the_exit_code(capsys, failing, options):
    assert run(["doctor", *options]) == 1
    out, err = capsys.readouterr()
    assert err == ""
    if options:
        assert json.loads(out)["can_train"] is False
    else:
        assert "`stsm train` will not work: see sun" in out
