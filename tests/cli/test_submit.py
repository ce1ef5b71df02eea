"""`--slurm` from the command line, with jobs that are processes of this machine."""

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from stsm_cli.analysis.ablation import plan_sweep
from stsm_cli.cli.app import run
from stsm_cli.engine.slurm import Submitted, TrainJob
from stsm_cli.errors import StsmError

LOCAL = ["--slurm", "cluster=local,time=10"]
PREEMPTED = """
import os, signal, socket, sys
from stsm_cli.cli.app import run
from stsm_cli.engine.runlog import RunFolder

def log_epoch(folder, metrics, real=RunFolder.log_epoch):
    real(folder, metrics)
    if metrics["epoch"] == 1:  # the cluster takes its machine back, and the run hears of it
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        signal.set_wakeup_fd(theirs.fileno())
        os.kill(os.getppid(), signal.SIGUSR2)
        ours.recv(1)
        signal.set_wakeup_fd(-1)

RunFolder.log_epoch = log_epoch
sys.exit(run(["train", *sys.argv[1:]]))
"""


@pytest.fixture(scope="module")
def tiny(tiny):
    """With a second epoch, before which a run can be taken from its machine."""
    return [*tiny, "--set", "optim.epochs=2"]


@pytest.fixture(scope="module")
def tiny_rows(tiny_rows):
    """With the same second epoch."""
    return [*tiny_rows, "--set", "optim.epochs=2"]


@pytest.fixture
def submitted(monkeypatch):
    """The jobs that would have been submitted; none is."""
    jobs = []

    def submit(new, cluster, logs, at_once=None):
        jobs.extend((job, cluster, logs, at_once) for job in new)
        return [Submitted(job.out, f"7_{i}", is_new=True) for i, job in enumerate(new)]

    monkeypatch.setattr("stsm_cli.engine.slurm.submit", submit)
    return jobs


@pytest.fixture
def one_row(monkeypatch):
    """Sweeps of their first run alone, quick to count and to draw."""
    monkeypatch.setattr(
        "stsm_cli.analysis.ablation.plan_sweep",
        lambda *words, **options: replace(
            plan_sweep(*words, **options), runs=plan_sweep(*words, **options).runs[:1]
        ),
    )
    monkeypatch.setattr("stsm_cli.analysis.publish.encode", lambda figure, kind: b"")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """The tiny set of trainings, in a folder of its own."""
    return _made("synth", tmp_path_factory.mktemp("data"), "--train", "--val")


@pytest.fixture(scope="module")
def rows_data(tmp_path_factory):
    """The tiny set of ablations."""
    return _made("order", tmp_path_factory.mktemp("data"), "--train", "--val", "--test")


def _made(name, folder, *splits):
    words = [word for split in splits for word in (split, "16")]
    assert run(["prepare", name, str(folder / name), *words, "--frames", "8", "-q"]) == 0
    return str(folder / name)


def test_submitted_preempted_resumed_and_collected(
    capsys, rows_data, local_jobs, monkeypatch, one_row, tiny_rows
):
    def preempted(arguments, out):
        return TrainJob((sys.executable, "-c", PREEMPTED, *arguments, "--out", str(out)), out)

    monkeypatch.setattr("stsm_cli.engine.slurm.train_job", preempted)
    command = [
        "ablate",
        "alpha",
        *tiny_rows,
        "--data",
        rows_data,
        "--device",
        "cpu",
        "--json",
        *LOCAL,
    ]
    assert run(command) == 0
    told = json.loads(capsys.readouterr().out)
    (job,) = local_jobs
    (line,) = told["jobs"]
    assert (told["schema"], line["job_id"], line["is_new"]) == ("stsm.jobs/2", job.job_id, True)

    assert run(command) == 0  # it runs: nothing is submitted twice
    assert json.loads(capsys.readouterr().out)["jobs"] == [line | {"is_new": False}]
    assert run([*command[:-2], "--jobs", "1"]) == 2
    assert f"{line['out']}: is being run by job {job.job_id}" in capsys.readouterr().err

    assert job.result() is None
    assert "error: stopped by SIGTERM" in job.stderr()
    assert f"continuing {line['out']}" in job.stderr()
    metrics = Path(line["out"], "metrics.jsonl").read_text().splitlines()
    assert [json.loads(epoch)["epoch"] for epoch in metrics] == [1, 2]

    assert run(command) == 0
    table = json.loads(capsys.readouterr().out)
    assert (table["schema"], table["rows"][0]["name"]) == ("stsm.ablation/1", "0")
    assert table["rows"][0]["seeds"] == {"0": table["rows"][0]["top1"]}
    assert len(local_jobs) == 1


def test_ablate_makes_a_job_of_each_run(capsys, rows_data, submitted, monkeypatch, tiny_rows):
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    settings = "partition=gpu,gpus_per_node=8,time=48:00:00"
    command = ["ablate", "alpha", *tiny_rows, "--data", rows_data, "--seeds", "2", "--jobs", "3"]
    assert run([*command, "--decoder", "pyav", "--slurm", settings]) == 0
    job, cluster, logs, at_once = submitted[7]
    assert (len(submitted), cluster.tasks_per_node, at_once) == (12, 8, 3)
    assert (job.out.name, logs) == ("1-8-seed1", job.out.parent / "slurm")
    words = list(job.command[3:])
    tiny = tiny_rows[2:]  # behind the data set
    assert words[:4] == ["train", "order/stsm", "--set", "data.order.draw=1"]
    assert words[4 : 4 + len(tiny)] == tiny
    assert words[4 + len(tiny) :] == [
        *("--set", "model.shift.alpha=1/8", "--set", "seed=1"),
        *(
            "--data",
            f"{rows_data}-draw1",
            "--device",
            "auto",
            "--workers",
            "7",
            "--decoder",
            "pyav",
        ),
        *("--out", str(job.out)),
    ]
    out = " ".join(capsys.readouterr().out.split())
    assert f"{job.out.parent.name}/1-8-seed1 7_7 submitted {job.out.parent.name}/1-4-seed1" in out
    assert f"their output is in {logs} run the same" in out
    assert "run the same command again" in out


def test_ablate_all_submits_what_tables_share_once(capsys, rows_data, submitted, tiny_rows):
    command = ["ablate", "all", *tiny_rows, "--data", rows_data, *LOCAL]
    assert run([*command, "--json"]) == 0
    assert len(submitted) == len({job.command[:-2] for job, *_ in submitted}) == 30
    told = json.loads(capsys.readouterr().out)
    waiting = {ablation["name"]: ablation["jobs"] for ablation in told["ablations"]}
    assert {ablation["schema"] for ablation in told["ablations"]} == {"stsm.jobs/2"}
    assert [len(jobs) for jobs in waiting.values()] == [6, 8, 13, 9, 11]
    assert waiting["spatial"][0] == waiting["alpha"][0]  # TSN
    assert waiting["spatial"][1]["logs"] == str(submitted[6][2])
    assert submitted[6][2].parent.name.startswith("spatial-order-custom-")

    submitted.clear()
    assert run(command) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Jobs"
    assert sum(line.endswith("  submitted") for line in lines) == len(submitted) == 30
    assert sum(line.startswith("their output is in ") for line in lines) == 5


def test_train_becomes_a_job_as_it_was_typed(capsys, data, submitted, tiny):
    typed = ["train", "synth/tsm", *tiny, "--data", data, "--compile", "--decoder", "pyav"]
    assert run([*typed, *LOCAL]) == 0
    ((job, cluster, logs, _),) = submitted
    assert list(job.command[3:]) == [
        *typed,
        *("--workers", "7", "--out", "runs/synth-tsm-001"),
    ]
    assert (cluster.name, logs) == ("local", Path("runs/slurm"))
    assert job.out.is_dir()  # the next command takes another
    assert "runs/synth-tsm-001/result.json" in capsys.readouterr().out


def test_what_is_wrong_is_told_before_anything_is_queued(capsys, submitted):
    for command in (["train", "synth/tsm"], ["ablate", "alpha", "--data", "data"]):
        assert run([*command, *LOCAL, "--device", "cuda:9"]) == 2
        assert "--device cuda:9: not available here" in capsys.readouterr().err
    assert run(["train", "synth/tsm", "--slurm", "cluster=local"]) == 2
    assert "error: --slurm: a job's `time` is missing" in capsys.readouterr().err
    for command in (["train", "k400/stsm_r50_8f"], ["ablate", "alpha", "--dataset", "k400"]):
        assert run([*command, "--data", "nowhere", *LOCAL]) == 1
        assert "error: nowhere" in capsys.readouterr().err
    assert run(["ablate", "alpha", "--slurm", "time=x,cluster=local"]) == 2
    assert submitted == []


def test_a_batch_that_the_job_s_processes_cannot_share_is_not_queued(
    capsys, data, submitted, tiny, one_row
):
    five = ["--slurm", "cluster=local,time=10,ntasks_per_node=5"]
    for command in (["train", "synth/tsm", *tiny, "--data", data], ["ablate", "alpha"]):
        assert run([*command, *five, "--set", "optim.batch_size=6"]) == 2
        assert "optim.batch_size (6)" in capsys.readouterr().err
    assert submitted == []


def test_a_job_s_processes_are_the_cluster_s(capsys, submitted):
    assert run(["train", "synth/tsm", "--nproc", "2", *LOCAL]) == 2
    told = "error: --nproc 2: a job has as many processes as --slurm asks for\nhint: "
    assert told in capsys.readouterr().err
    assert submitted == []


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--device", "tpu"], "--device tpu: not available here"),
        (["--set", "optim.frozen=[layer9]"], "optim.frozen: the network has no part layer9"),
        (["--init", "other.pt"], "other.pt: neither a file of `stsm convert` nor"),
        (["--tensorboard"], "--tensorboard: the package tensorboard is not installed"),
        ([], "--slurm needs submitit, which is not installed"),
    ],
)
def test_what_stops_a_job_at_its_start_is_told_before_data_are_made(
    capsys, submitted, monkeypatch, words, told
):
    torch.save({"model": {"fc.weight": torch.zeros(2, 2)}}, "other.pt")
    monkeypatch.setattr("stsm_cli.engine.board.find_spec", lambda name: None)
    if not words:
        monkeypatch.setattr("stsm_cli.engine.slurm_options.find_spec", lambda name: None)
    assert run(["train", *words, *LOCAL]) in (1, 2)
    assert told in capsys.readouterr().err.splitlines()[0]
    assert [path.name for path in Path().iterdir()] == ["other.pt"]
    assert submitted == []


def test_without_submitit_an_ablation_opens_no_data(capsys, submitted, monkeypatch):
    monkeypatch.setattr("stsm_cli.engine.slurm_options.find_spec", lambda name: None)
    assert run(["ablate", "alpha", *LOCAL]) == 2
    assert "error: --slurm needs submitit" in capsys.readouterr().err
    assert list(Path().iterdir()) == []


def test_a_job_that_is_refused_leaves_no_run_folder(capsys, data, monkeypatch, tiny):
    def refuse(*_, **__):
        raise StsmError("--slurm: the jobs were refused: no such partition")

    monkeypatch.setattr("stsm_cli.engine.slurm.submit", refuse)
    assert run(["train", "synth/tsm", *tiny, "--data", data, *LOCAL]) == 1
    assert "refused: no such partition" in capsys.readouterr().err
    assert list(Path("runs").iterdir()) == []


def test_a_job_that_left_no_result_is_submitted_again(capsys, data, monkeypatch, tiny):
    def submit(new, cluster, logs, at_once=None):
        return [Submitted(new[0].out, "8", is_new=True, failed_id="7")]

    monkeypatch.setattr("stsm_cli.engine.slurm.submit", submit)
    assert run(["train", "synth/tsm", *tiny, "--data", data, *LOCAL]) == 0
    assert "submitted again; 7 left no result" in capsys.readouterr().out
