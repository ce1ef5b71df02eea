"""The value of `--slurm`: a cluster, and the resources that each job asks for."""

import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from stsm_cli.errors import UsageError

WARNING_SECONDS = 120  # ours: between SIGUSR2 and the end of a job
WORKERS = 7  # ours: with the process itself 8 CPUs a GPU, what many clusters have
_FLAG = "an option without a value is written KEY=true"
# ours: sbatch knows how many tasks follow from these, this does not
_OTHER_WORDS = ("gres", "gpus", "gpus_per_task", "gpus_per_socket", "ntasks")


@dataclass(frozen=True)
class Cluster:
    """A cluster, and the resources that each job asks for.

    Attributes:
        name: `slurm`, or `local`: processes on this machine.
        workers: Processes that read videos, in each task.
        sbatch: Options of sbatch that are passed on as they are; those without a value are True.
    """

    name: str
    minutes: int
    nodes: int
    tasks_per_node: int
    workers: int
    sbatch: Mapping[str, str | bool]

    @property
    def num_processes(self) -> int:
        """Processes of each job."""
        return self.nodes * self.tasks_per_node

    def parameters(self, at_once: int | None) -> dict[str, Any]:
        """The same as submitit's `AutoExecutor` takes it.

        Args:
            at_once: How many jobs of an array may run side by side; None for any number.
        """
        gpus = str(self.sbatch.get("gpus_per_node", "0")).rpartition(":")[2]
        parameters: dict[str, Any] = {
            "name": "stsm",
            "timeout_min": self.minutes,
            "nodes": self.nodes,
            "tasks_per_node": self.tasks_per_node,
            "gpus_per_node": _count("gpus_per_node", gpus) if gpus != "0" else None,
            "slurm_signal_delay_s": WARNING_SECONDS,
            "slurm_additional_parameters": {"requeue": True, **self.sbatch},
            # trap: since SLURM 22.05 srun does not inherit it
            "slurm_srun_args": [f"--cpus-per-task={self.sbatch['cpus_per_task']}"],
        }
        if at_once is not None:
            parameters["slurm_array_parallelism"] = at_once
        return parameters


def parse_cluster(text: str, *, workers: int | None) -> Cluster:
    """Parse the value of `--slurm`: `partition=gpu,gpus_per_node=8,time=48:00:00`.

    The keys are sbatch's long options; one without a value is `exclusive=true`. A job has one task
    a GPU, or `ntasks_per_node`; a task has a CPU for itself and one for each of its `workers`:
    `cpus_per_task` and `workers` follow from each other where only one is given.

    Raises:
        UsageError: It is not of this form, there is no `time` or too little, it names another
            folder, there is no SLURM on this machine, or submitit is not installed.
    """
    values = {}
    for part in re.split(r",(?=\s*[\w-]+\s*=)", text):  # a comma inside a value stays
        key, equals, value = map(str.strip, part.partition("="))
        if not key or not equals or not value:
            raise UsageError(f"--slurm {part}: must be KEY=VALUE", hint=_FLAG)
        values[key.replace("-", "_")] = value
    name = values.pop("cluster", "slurm")
    if name not in ("slurm", "local"):
        raise UsageError(f"--slurm cluster={name}: must be slurm or local")
    if name == "slurm" and shutil.which("sbatch") is None:
        raise UsageError(
            "--slurm: there is no `sbatch` on this machine",
            hint="submit from the cluster's login node, or rehearse here with `cluster=local`",
        )
    if find_spec("submitit") is None:
        raise UsageError(
            "--slurm needs submitit, which is not installed", hint="pip install 'stsm[slurm]'"
        )
    if "time" not in values:
        raise UsageError("--slurm: a job's `time` is missing", hint="such as time=48:00:00")
    if name == "local" and values.get("nodes", "1") != "1":
        raise UsageError(f"--slurm nodes={values['nodes']}: cluster=local is one machine")
    if "chdir" in values:
        raise UsageError(
            f"--slurm chdir={values['chdir']}: jobs run in the folder that they are submitted from"
        )
    _check_gpus(values)
    if workers is None:
        cpus = values.get("cpus_per_task")
        workers = WORKERS if cpus is None else _count("cpus_per_task", cpus) - 1
    values.setdefault("cpus_per_task", str(workers + 1))
    gpus = values.get("gpus_per_node", "1").rpartition(":")[2]
    told_by = "ntasks_per_node" if "ntasks_per_node" in values else "gpus_per_node"
    tasks = values.pop("ntasks_per_node", "1" if gpus == "0" else gpus)
    return Cluster(
        name,
        _minutes(values.pop("time"), least=WARNING_SECONDS if name == "slurm" else 0),
        _count("nodes", values.pop("nodes", "1")),
        _count(told_by, tasks),
        workers,
        {key: value == "true" or value for key, value in values.items()},
    )


def _check_gpus(values: Mapping[str, str]) -> None:
    """Refuse other words for GPUs and tasks: how many processes train would not follow."""
    for key in ("ntasks",) if "ntasks_per_node" in values else _OTHER_WORDS:
        value = values.get(key, "")
        if value and (key != "gres" or value.startswith("gpu")):
            raise UsageError(
                f"--slurm {key}={value}: does not say how many processes train on a node",
                hint="gpus_per_node=N does, or ntasks_per_node=N beside it; and nodes=N",
            )


def _minutes(text: str, least: int) -> int:
    """A time limit as sbatch takes it, in whole minutes: `90`, `90:00`, `1:30:00`, `2-12:00:00`.

    It must be more than `least` seconds.
    """
    if not re.fullmatch(r"\d+(:\d+){0,2}|\d+-\d+(:\d+){0,2}", text):
        raise UsageError(
            f"--slurm time={text}: must be minutes, H:MM:SS or D-HH:MM:SS",
            hint=_FLAG if "," in text else None,
        )
    days, _, rest = text.rpartition("-")
    parts = [int(part) for part in rest.split(":")]
    units = (3600, 60, 1) if days or len(parts) == 3 else (60, 1)
    seconds = 86400 * int(days or 0) + sum(u * p for u, p in zip(units, parts, strict=False))
    if seconds <= least:  # trap: 0 is no limit for sbatch
        raise UsageError(
            f"--slurm time={text}: must be more than {least // 60} minutes",
            hint="so long before its end a job is told to save" if least else None,
        )
    return -(-seconds // 60)


def _count(key: str, text: str) -> int:
    if not re.fullmatch("[1-9][0-9]*", text):
        raise UsageError(f"--slurm {key}={text}: must be a number of at least 1")
    return int(text)
