import shutil
import sys

import pytest

from stsm_cli.engine.slurm_options import parse_cluster
from stsm_cli.errors import UsageError


@pytest.fixture(autouse=True)
def a_login_node(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")


def test_sbatch_s_options_are_passed_on_and_what_submitit_must_know_is_read():
    cluster = parse_cluster(
        "partition=gpu,nodes=2,gpus-per-node=a100:8,time=2-00:00:00,nodelist=n1,n2", workers=4
    )
    parameters = cluster.parameters(3)
    assert cluster.name == "slurm"
    assert parameters["timeout_min"] == 2880
    assert (parameters["nodes"], parameters["tasks_per_node"]) == (2, 8)
    assert parameters["gpus_per_node"] == 8
    assert parameters["slurm_array_parallelism"] == 3
    assert parameters["slurm_srun_args"] == ["--cpus-per-task=5"]
    assert parameters["slurm_additional_parameters"] == {
        "requeue": True,
        "partition": "gpu",
        "gpus_per_node": "a100:8",
        "nodelist": "n1,n2",
        "cpus_per_task": "5",
    }


@pytest.mark.parametrize(
    ("settings", "workers", "expected"),
    [
        ("time=3", None, (7, "8")),
        ("time=3,cpus_per_task=4", None, (3, "4")),
        ("time=3,cpus_per_task=4", 2, (2, "4")),
        ("time=3", 0, (0, "1")),
    ],
)
def test_workers_and_cpus_follow_from_each_other(settings, workers, expected):
    cluster = parse_cluster(settings, workers=workers)
    assert (cluster.workers, cluster.sbatch["cpus_per_task"]) == expected


def test_without_gpus_a_job_is_one_task_unless_more_are_asked_for():
    assert parse_cluster("time=3", workers=0).tasks_per_node == 1
    assert parse_cluster("time=3", workers=0).parameters(None)["gpus_per_node"] is None
    assert "slurm_array_parallelism" not in parse_cluster("time=3", workers=0).parameters(None)
    assert parse_cluster("time=3,ntasks_per_node=2", workers=0).tasks_per_node == 2


@pytest.mark.parametrize(
    ("limit", "minutes"),
    [
        ("90", 90),
        ("90:00", 90),
        ("1:30:00", 90),
        ("2:01", 3),
        ("2-0", 2880),
        ("1-12:30", 2190),
        ("1-0:00:01", 1441),
    ],
)
def test_time_is_read_as_sbatch_reads_it(limit, minutes):
    assert parse_cluster(f"time={limit}", workers=0).minutes == minutes


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("gpu", "--slurm gpu: must be KEY=VALUE"),
        ("time=3,partition=", "--slurm partition=: must be KEY=VALUE"),
        ("cluster=pbs,time=3", "--slurm cluster=pbs: must be slurm or local"),
        ("partition=gpu", "--slurm: a job's `time` is missing"),
        ("time=soon", "--slurm time=soon: must be minutes, H:MM:SS or D-HH:MM:SS"),
        ("time=0", "--slurm time=0: must be more than 2 minutes"),
        ("cluster=local,time=0", "--slurm time=0: must be more than 0 minutes"),
        ("time=2:00", "--slurm time=2:00: must be more than 2 minutes"),
        ("time=60,exclusive", "--slurm time=60,exclusive: must be minutes"),
        ("time=3,chdir=/tmp", "--slurm chdir=/tmp: jobs run in the folder that they are submitted"),
        ("time=3,nodes=0", "--slurm nodes=0: must be a number of at least 1"),
        ("cluster=local,time=3,nodes=2", "--slurm nodes=2: cluster=local is one machine"),
        ("time=3,gpus_per_node=all", "--slurm gpus_per_node=all: must be a number"),
        ("time=3,ntasks_per_node=0", "--slurm ntasks_per_node=0: must be a number of at least 1"),
        ("time=3,gres=gpu:8", "--slurm gres=gpu:8: does not say how many processes train"),
        ("time=3,gpus=8", "--slurm gpus=8: does not say how many processes train on a node"),
        ("time=3,gpus-per-task=1", "--slurm gpus_per_task=1: does not say how many"),
        ("time=3,ntasks=8,ntasks_per_node=8", "--slurm ntasks=8: does not say how many processes"),
        ("time=3,ntasks=8", "--slurm ntasks=8: does not say how many processes train on a node"),
        ("time=3,cpus_per_task=x", "--slurm cpus_per_task=x: must be a number"),
    ],
)
def test_what_cannot_be_meant_is_refused(settings, message):
    with pytest.raises(UsageError) as caught:
        parse_cluster(settings, workers=None)
    assert str(caught.value).startswith(message)


def test_other_resources_and_no_gpu_may_be_asked_for():
    cluster = parse_cluster("time=3,gres=lscratch:100,gpus_per_node=0", workers=0)
    assert cluster.num_processes == 1
    assert cluster.parameters(None)["gpus_per_node"] is None
    assert cluster.sbatch["gres"] == "lscratch:100"
    for words in ("gres=gpu:8", "gpus_per_task=1"):
        assert parse_cluster(f"time=3,{words},ntasks_per_node=8", workers=0).num_processes == 8


def test_without_slurm_the_hint_is_to_rehearse(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(UsageError, match="--slurm: there is no `sbatch` on this machine") as caught:
        parse_cluster("time=3", workers=None)
    assert "cluster=local" in caught.value.hint
    assert parse_cluster("time=3,cluster=local", workers=None).name == "local"


def test_without_submitit_the_hint_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(UsageError, match="--slurm needs submitit") as caught:
        parse_cluster("partition=gpu,time=10", workers=None)
    assert caught.value.hint == "pip install 'stsm[slurm]'"


def test_an_option_without_a_value_is_true():
    cluster = parse_cluster("time=60, exclusive=true ,cluster = local", workers=0)
    assert cluster.sbatch == {"exclusive": True, "cpus_per_task": "1"}
    assert cluster.parameters(None)["slurm_additional_parameters"]["exclusive"] is True
    with pytest.raises(UsageError, match="time=60,exclusive: must be minutes") as raised:
        parse_cluster("time=60,exclusive", workers=0)
    assert raised.value.hint == "an option without a value is written KEY=true"
    with pytest.raises(UsageError, match="exclusive: must be KEY=VALUE") as raised:
        parse_cluster("exclusive,time=60", workers=0)
    assert raised.value.hint == "an option without a value is written KEY=true"


def test_a_rehearsal_may_be_short():
    assert parse_cluster("cluster=local,time=0:20", workers=0).minutes == 1
