"""Jobs, with submitit's local executor, and with a SLURM whose commands are three small scripts."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from stsm_cli.engine.slurm import TrainJob, queued, submit, train_job
from stsm_cli.engine.slurm_options import Cluster
from stsm_cli.errors import StsmError, UsageError

LOCAL = Cluster("local", 10, 1, 1, 0, {"cpus_per_task": "1"})
SLURM = Cluster("slurm", 90, 1, 1, 1, {"cpus_per_task": "2", "partition": "gpu"})
LOGS = Path("runs/slurm")


@pytest.fixture
def cluster(monkeypatch, tmp_path):
    """A SLURM: sbatch keeps what it is given, squeue tells what `queue` holds."""
    scripts = {
        "srun": "",
        "sbatch": 'cp "$1" submitted.sh; echo "Submitted batch job 12"',
        "squeue": 'echo "$@" > asked; cat queue',
    }

    def write(name, script):
        path = tmp_path / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    for name, script in scripts.items():
        write(name, script)
    Path("queue").write_text("")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    return write


def jobs(*names):
    return [TrainJob(("true",), Path("runs") / name) for name in names]


def test_a_job_trains_into_its_folder():
    job = train_job(["synth/stsm", "--set", "seed=1"], Path("runs/a"))
    assert job.command[0] == sys.executable
    assert job.command[1:] == (
        *("-m", "stsm_cli", "train", "synth/stsm", "--set", "seed=1"),
        *("--out", "runs/a"),
    )


def test_a_job_whose_command_fails_fails(local_jobs):
    submit([TrainJob(("false",), Path("runs/a"))], LOCAL, LOGS)
    error = local_jobs[0].exception()
    assert "CalledProcessError" in str(error)
    local_jobs[0]._process.wait()
    (again,) = submit([TrainJob(("true",), Path("runs/a"))], LOCAL, LOGS)
    assert (again.is_new, again.failed_id) == (True, local_jobs[0].job_id)
    assert local_jobs[1].result() is None


def test_tasks_of_one_job_know_of_each_other(local_jobs):
    code = (
        "import json, os; from pathlib import Path;"
        "names = ('LOCAL_RANK', 'WORLD_SIZE', 'MASTER_ADDR', 'MASTER_PORT');"
        "known = [os.environ[name] for name in names];"
        "Path('rank' + os.environ['RANK']).write_text(json.dumps(known))"
    )
    two = Cluster("local", 10, 1, 2, 0, {"cpus_per_task": "1"})
    submit([TrainJob((sys.executable, "-c", code), Path("runs/a"))], two, LOGS)
    assert local_jobs[0].results() == [None, None]
    first, second = (json.loads(Path(f"rank{rank}").read_text()) for rank in (0, 1))
    assert (first[:2], second[:2]) == (["0", "2"], ["1", "2"])
    assert first[2:] == second[2:]


def test_several_jobs_are_one_array_and_what_is_queued_is_not_submitted_again(cluster):
    first = submit(jobs("a", "b"), SLURM, LOGS, at_once=1)
    assert [(job.job_id, job.is_new) for job in first] == [("12_0", True), ("12_1", True)]
    script = Path("submitted.sh").read_text()
    for line in ("--array=0-1%1", "--partition=gpu", "--requeue", "--time=90", "--signal=USR2@120"):
        assert f"#SBATCH {line}\n" in script
    assert "--cpus-per-task=2 " in script.splitlines()[-1]

    Path("queue").write_text("12_0\n99\n")
    assert queued(LOGS) == {"a": "12_0"}
    assert "--array" in Path("asked").read_text()
    second = submit(jobs("a", "b", "c"), SLURM, LOGS)
    assert [(job.out.name, job.is_new, job.failed_id) for job in second] == [
        ("a", False, None),
        ("b", True, "12_1"),
        ("c", True, None),
    ]


def test_what_the_user_set_for_sbatch_reaches_it(cluster, monkeypatch):
    cluster("sbatch", 'echo "$SBATCH_ACCOUNT $SLURM_CONF $SLURM_JOB_ID" > seen; echo "job 3"')
    monkeypatch.setenv("SBATCH_ACCOUNT", "me")
    monkeypatch.setenv("SLURM_CONF", "/etc/conf")
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    submit(jobs("a"), SLURM, LOGS)
    assert Path("seen").read_text() == "me /etc/conf \n"
    assert os.environ["SLURM_JOB_ID"] == "7"


def test_sbatch_s_refusal_is_one_line(cluster):
    cluster("sbatch", 'echo "sbatch: error: invalid partition specified: gpu" >&2; exit 1')
    with pytest.raises(
        StsmError, match=r"--slurm: the jobs were refused: .*partition specified: gpu"
    ):
        submit(jobs("a"), SLURM, LOGS)
    assert queued(LOGS) == {}


def test_squeue_s_failure_is_told(cluster):
    submit(jobs("a"), SLURM, LOGS)
    cluster("squeue", 'echo "squeue: error: no controller" >&2; exit 1')
    with pytest.raises(StsmError, match="--slurm: squeue failed: squeue: error: no controller"):
        queued(LOGS)


def test_where_there_is_no_cluster_none_of_its_jobs_runs(cluster, monkeypatch, tmp_path):
    submit(jobs("a"), SLURM, LOGS)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert queued(LOGS) == {}


def test_a_squeue_that_may_not_be_run_is_told(cluster, monkeypatch):
    submit(jobs("a"), SLURM, LOGS)

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("stsm_cli.engine.slurm.subprocess.run", refuse)
    with pytest.raises(StsmError, match=r"squeue cannot be run \(Permission denied\)"):
        queued(LOGS)


def test_nothing_is_submitted_whose_job_could_not_be_noted(cluster, mount_read_only):
    LOGS.mkdir(parents=True)
    mount_read_only()
    with pytest.raises(UsageError, match=r"a\.json: cannot be written \(Read-only file system\)"):
        submit(jobs("a"), SLURM, LOGS)
    assert queued(LOGS) == {}


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        '{"id": "7"}',
        '{"cluster": "local", "id": "12a"}',
        '{"cluster": "local", "id": "0"}',
        '{"cluster": "local", "id": "99999999999999999999"}',
    ],
)
def test_a_job_s_file_that_is_none_is_named(tmp_path, content):
    (tmp_path / "slurm").mkdir()
    (tmp_path / "slurm" / "a.json").write_text(content)
    with pytest.raises(StsmError, match=r"slurm/a\.json: does not tell of a job"):
        queued(tmp_path / "slurm")


def test_a_place_that_cannot_hold_the_logs():
    Path("runs").write_text("")
    with pytest.raises(UsageError, match="--out: runs/slurm cannot be made"):
        submit(jobs("a"), LOCAL, LOGS)


def test_a_job_that_is_stopped_before_its_command_began_is_the_same_again():
    again = TrainJob(("true",), Path("runs/a")).checkpoint()
    assert again.function == TrainJob(("true",), Path("runs/a"))


def test_a_command_that_has_ended_already_is_not_waited_for():
    job = TrainJob(("true",), Path("runs/a"))
    job._process = subprocess.Popen(["true"])
    job._process.wait()
    assert job.checkpoint().function == TrainJob(("true",), Path("runs/a"))


def test_a_local_job_whose_number_another_user_has_is_over(local_jobs, monkeypatch):
    def kill(pid, number):
        raise PermissionError

    submit([TrainJob(("true",), Path("runs/a"))], LOCAL, LOGS)
    local_jobs[0].result()
    monkeypatch.setattr(os, "kill", kill)
    assert queued(LOGS) == {}


def test_a_command_that_does_not_end_is_killed(monkeypatch):
    monkeypatch.setattr("stsm_cli.engine.slurm.SAVING_SECONDS", 0.2)
    job = TrainJob(("true",), Path("runs/a"))
    stubborn = "trap '' TERM; echo ready; while :; do :; done"
    with subprocess.Popen(["sh", "-c", stubborn], stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        job._process = process
        job.checkpoint()
        assert process.wait() == -9
