"""`stsm report` against the committed results: CI fails when a generated file is stale."""

import json
import re
import shutil
from pathlib import Path

import pytest
from matplotlib.text import Text

from stsm_cli.cli.app import run

RESULTS = Path(__file__).parents[2] / "results"
OLD = RESULTS / "history"


@pytest.fixture
def without_pictures(monkeypatch):
    """Pictures hold the plotting library's version; only their names and words are compared."""

    def words(figure, kind):
        lines = [line for text in figure.findobj(Text) for line in text.get_text().splitlines()]
        return "\n".join(filter(re.compile("[a-z]{3}").search, lines)).encode()  # no ticks

    monkeypatch.setattr("stsm_cli.analysis.publish.encode", words)


def test_the_committed_results_are_those_of_the_committed_records(
    tmp_path, capsys, without_pictures
):
    shutil.copytree(RESULTS / "records", tmp_path / "records")
    (tmp_path / "history").mkdir()
    for linked in ("history/README.md", "probes.md"):
        shutil.copyfile(RESULTS / linked, tmp_path / linked)
    assert run(["report", "--out", str(tmp_path), "--json"]) == 0
    written = {Path(path) for path in json.loads(capsys.readouterr().out)["written"]}
    made = {path.name for path in RESULTS.glob("*.*")} - {"probes.json", "probes.md"}
    made -= {"index.html"}  # never committed
    assert {path.name for path in written} == made
    for path in written:
        committed = RESULTS / path.name
        if path.suffix == ".md":
            assert path.read_text() == committed.read_text()
        if path.suffix == ".svg":
            drawn = {*re.findall(r"<!-- (.*?) -->", committed.read_text())}
            assert {*path.read_text().splitlines()} <= drawn, path.name


def test_a_folder_without_records_says_so(tmp_path, capsys, without_pictures):
    assert run(["report", "--out", str(tmp_path)]) == 0
    shown = capsys.readouterr()
    assert f"no run is recorded below {tmp_path}: `stsm ablate alpha` makes some" in shown.err
    assert f"{tmp_path / 'audit.md'}\n" in shown.out
    index = (tmp_path / "README.md").read_text()
    assert "- Not run on the set of order: `stsm ablate alpha --dataset order`\n" in index
    assert run(["report", "--out", str(tmp_path)]) == 0  # it is a folder of results now


def test_a_folder_of_other_things_is_left_alone(tmp_path, capsys):
    (tmp_path / "recipe.yaml").touch()
    assert run(["report", "--out", str(tmp_path)]) == 2
    error, hint = capsys.readouterr().err.splitlines()
    assert f"--out {tmp_path}: holds other files and no records/" in error
    assert hint == "hint: name the one that `stsm ablate` wrote to, or an empty folder"
    assert [path.name for path in tmp_path.iterdir()] == ["recipe.yaml"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("index.html", "<title>My site</title>\n"),
        ("README.md", "# My project\n"),
        ("audit.md", "# Of the accounts\n"),
        ("pairs.md", "# Pairs of socks\n"),
    ],
)
def test_a_page_of_another_hand_is_left_alone(tmp_path, capsys, name, text):
    (tmp_path / "records").mkdir()
    (tmp_path / name).write_text(text)
    assert run(["report", "--out", str(tmp_path)]) == 2
    error, hint = capsys.readouterr().err.splitlines()
    assert f"--out {tmp_path}: its {name} is not of `stsm report`" in error
    assert hint == "hint: move it, or put records/ into a folder of their own"
    assert (tmp_path / name).read_text() == text


def test_hidden_files_are_no_other_things(tmp_path, without_pictures):
    (tmp_path / ".gitkeep").touch()
    assert run(["report", "--out", str(tmp_path)]) == 0


def test_html_makes_one_page_of_them_all(tmp_path, capsys, without_pictures):
    record, *_ = OLD.glob("records/table1_alpha/synth-*/0-seed0.json")
    copy = tmp_path / record.relative_to(OLD)
    copy.parent.mkdir(parents=True)
    shutil.copyfile(record, copy)
    shutil.copyfile(RESULTS / "probes.md", tmp_path / "probes.md")
    assert run(["report", "--out", str(tmp_path), "--html", "--json"]) == 0
    written = json.loads(capsys.readouterr().out)["written"]
    assert written[-1] == str(tmp_path / "index.html")
    page = (tmp_path / "index.html").read_text()
    chapters = ["README", "table1_alpha", "shift_in_3d", "causal", "audit", "probes"]
    places = [page.index(f'<section id="{name}">') for name in chapters]
    assert places == sorted(places)


def test_a_broken_record_is_named(tmp_path, capsys):
    record = tmp_path / "records" / "table1_alpha" / "synth-full-x" / "0-seed0.json"
    record.parent.mkdir(parents=True)
    record.write_text("{")
    assert run(["report", "--out", str(tmp_path)]) == 1
    assert f"{record}: not a run record" in capsys.readouterr().err.replace("\n", "")


def test_a_folder_that_is_not_there_is_not_made(tmp_path, capsys):
    assert run(["report", "--out", str(tmp_path / "nores")]) == 2
    error = capsys.readouterr().err.replace("\n", "")
    assert f"--out {tmp_path / 'nores'}: no such folder" in error
    assert not (tmp_path / "nores").exists()
    (tmp_path / "nores").touch()
    assert run(["report", "--out", str(tmp_path / "nores")]) == 2
    assert f"--out {tmp_path / 'nores'}: is a file, not a folder" in capsys.readouterr().err


def test_an_audit_of_another_hand_makes_no_folder_of_results(tmp_path, capsys):
    (tmp_path / "audit.md").write_text("# Of the accounts\n")
    assert run(["report", "--out", str(tmp_path)]) == 2
    assert "holds other files and no records/" in capsys.readouterr().err


def test_records_of_other_machines_make_the_folder(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("stsm_cli.cli.report._write", lambda out, html: [])
    record, *_ = OLD.glob("records/table1_alpha/synth-*/0-seed0.json")
    copy = tmp_path / "node" / record.relative_to(OLD)
    copy.parent.mkdir(parents=True)
    shutil.copyfile(record, copy)
    command = ["report", "--out", str(tmp_path / "all"), "--from"]
    assert run([*command, str(tmp_path / "nowhere")]) == 2
    assert not (tmp_path / "all").exists()
    assert run([*command, str(tmp_path / "node")]) == 0
    assert (tmp_path / "all" / record.relative_to(OLD)).read_bytes() == record.read_bytes()


def test_records_of_another_machine_are_taken_first(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("stsm_cli.cli.report._write", lambda out, html: [])
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"
    record, *_ = OLD.glob("records/table1_alpha/synth-*/0-seed0.json")
    for folder, top5 in ((theirs, 90.0), (ours, 91.0)):
        copy = folder / record.relative_to(OLD)
        copy.parent.mkdir(parents=True)
        plain = json.loads(record.read_text())
        copy.write_text(json.dumps(plain | {"score": plain["score"] | {"top5": top5}}))
    assert run(["report", "--out", str(ours), "--from", str(theirs)]) == 0
    told = capsys.readouterr().err.splitlines()
    assert "new records: 0" in told
    assert any("0-seed0.json stays, top-1" in line for line in told)
    assert run(["report", "--out", str(tmp_path / "ours"), "--from", "nowhere"]) == 2
    assert "--from nowhere: holds no records/" in capsys.readouterr().err


def test_a_folder_that_takes_no_file_is_told_first(tmp_path, capsys, mount_read_only):
    mount_read_only()
    assert run(["report", "--out", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert (
        error == f"error: --out {tmp_path}/README.md: cannot be written (Read-only file system)\n"
    )
