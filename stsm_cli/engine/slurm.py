"""`--slurm`: `stsm train` as jobs of a SLURM cluster, submitted through submitit.

A job is a command line and its run folder. Before its time is up SLURM sends SIGUSR2; the command
is then told to save (SIGTERM), the job goes back into the queue, and from there it resumes. It also
resumes where SLURM itself preempts it and puts it back.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from stsm_cli.atomic import write_file
from stsm_cli.engine.device import choose_device
from stsm_cli.engine.saved_files import check_file
from stsm_cli.engine.slurm_options import WARNING_SECONDS, Cluster
from stsm_cli.errors import StsmError, UsageError
from stsm_cli.lifeline import TIED, tie
from stsm_cli.sigterm import handled_by

if TYPE_CHECKING:
    from submitit.helpers import DelayedSubmission

SAVING_SECONDS = 0.75 * WARNING_SECONDS  # ours: then the job is queued again, saved or not
MAX_TIMEOUTS = 100  # ours: times that one job is queued again before it is taken for stuck


@dataclass
class TrainJob:
    """One run as submitit pickles and calls it, once in every task of the job.

    Attributes:
        command: Trains into `out`, saves on SIGTERM, and continues when given `--resume`.
        out: The run folder.
    """

    command: tuple[str, ...]
    out: Path
    _process: "subprocess.Popen[bytes] | None" = field(default=None, init=False, repr=False)

    def __call__(self) -> None:
        """Run the command to its end.

        Raises:
            CalledProcessError: It failed; its own message is in the job's log.
        """
        from submitit import JobEnvironment
        from submitit.helpers import TorchDistributedEnvironment

        if JobEnvironment().num_tasks > 1:
            TorchDistributedEnvironment().export(set_cuda_visible_devices=False, overwrite=True)
        has_begun = (self.out / "recipe.yaml").is_file()
        command = [*self.command, *(["--resume"] if has_begun else [])]
        with tie() as line:
            # trap: SLURM sends it to every process of the job
            with handled_by(signal.SIG_IGN, signal.SIGUSR2):
                self._process = subprocess.Popen(command, stdin=line, env=os.environ | {TIED: "1"})
            code = self._process.wait()
        if code:
            raise subprocess.CalledProcessError(code, command)

    def checkpoint(self) -> "DelayedSubmission":
        """Have the run saved; what submitit queues in its place. Called in a signal handler."""
        from submitit.helpers import DelayedSubmission

        if self._process is not None:
            self._process.terminate()
            _wait_for_end(self._process.pid, SAVING_SECONDS)
            self._process.kill()
        return DelayedSubmission(TrainJob(self.command, self.out))


@dataclass(frozen=True)
class Submitted:
    """A job that waits or runs.

    Attributes:
        is_new: It was submitted now; otherwise an earlier command did.
        failed_id: An earlier job of the same run, which ended without a result.
    """

    out: Path
    job_id: str
    is_new: bool
    failed_id: str | None = None


def refuse_device(cluster: Cluster, device: str) -> None:
    """Refuse a device that this machine lacks, where the jobs run on it.

    Raises:
        UsageError: There is no such device.
    """
    if cluster.name == "local":
        choose_device(device)


def train_job(arguments: Sequence[str], out: Path) -> TrainJob:
    """`stsm train ARGUMENTS` into the run folder `out`."""
    command = (sys.executable, "-m", "stsm_cli", "train", *arguments, "--out", str(out))
    return TrainJob(command, out)


def submit(
    jobs: Sequence[TrainJob], cluster: Cluster, logs: Path, *, at_once: int | None = None
) -> list[Submitted]:
    """Submit the jobs that are not in the queue yet, several as one array.

    Args:
        logs: Folder of the jobs' output, and of a file for each run that names its job.
        at_once: How many of the array may run side by side.

    Raises:
        UsageError: `logs` cannot be written.
        StsmError: sbatch refuses the jobs, or squeue fails.
    """
    try:
        logs.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--out: {logs} cannot be made ({error.strerror})") from None
    before, alive = _known(logs), queued(logs)
    new = [job for job in jobs if job.out.name not in alive]
    names = [job.out.name for job in new]
    for name in names:  # jobs that no file tells of would be submitted again
        check_file("--out", logs / f"{name}.json")
    ids = dict(zip(names, _submit(new, cluster, logs, at_once), strict=True))
    for name, job_id in ids.items():
        write_file(
            logs / f"{name}.json", json.dumps({"cluster": cluster.name, "id": job_id}).encode()
        )
    return [
        Submitted(out, ids[out.name], is_new=True, failed_id=before.get(out.name, {}).get("id"))
        if out.name in ids
        else Submitted(out, alive[out.name], is_new=False)
        for out in (job.out for job in jobs)
    ]


def queued(logs: Path) -> dict[str, str]:
    """The runs that wait or run as jobs: name of the run folder, and id of the job.

    Raises:
        StsmError: squeue fails.
    """
    known = _known(logs)
    in_queue = _squeue() if any(job["cluster"] == "slurm" for job in known.values()) else set()
    return {
        name: job["id"]
        for name, job in known.items()
        if (job["id"] in in_queue if job["cluster"] == "slurm" else _process_exists(job["id"]))
    }


def _known(logs: Path) -> dict[str, dict[str, str]]:
    """Of each run that was ever submitted, where its last job went (`cluster`) and its `id`.

    Raises:
        StsmError: A file does not tell.
    """
    known = {}
    for path in sorted(logs.glob("*.json")):
        try:
            told = json.loads(path.read_bytes())
            known[path.stem] = {"cluster": str(told["cluster"]), "id": str(told["id"])}
            if told["cluster"] == "local" and not 1 < int(told["id"]) < 2**31:
                raise ValueError
        except (ValueError, TypeError, KeyError):
            hint = "move it away where its job has ended"
            raise StsmError(f"{path}: does not tell of a job", hint=hint) from None
    return known


def _squeue() -> set[str]:
    user = os.getuid()  # a container may not know its name
    command = ["squeue", "--noheader", "--array", "--format=%i", f"--user={user}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:  # no cluster here, so none of its jobs
        return set()
    except OSError as error:
        raise StsmError(f"--slurm: squeue cannot be run ({error.strerror})") from None
    if done.returncode:
        raise StsmError(f"--slurm: squeue failed: {done.stderr.strip()}")
    return set(done.stdout.split())


def _process_exists(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, PermissionError):  # the latter: another user has its number now
        return False
    return True


def _submit(
    jobs: Sequence[TrainJob], cluster: Cluster, logs: Path, at_once: int | None
) -> list[str]:
    if not jobs:
        return []
    import submitit
    from submitit.core.utils import FailedJobError, FailedSubmissionError

    executor = submitit.AutoExecutor(
        folder=logs, cluster=cluster.name, slurm_max_num_timeout=MAX_TIMEOUTS
    )
    executor.update_parameters(**cluster.parameters(at_once))
    # trap: clean_env, for jobs submitted from within a job, also drops what the user set for sbatch
    chosen = {k: v for k, v in os.environ.items() if k == "SLURM_CONF" or k.startswith("SBATCH_")}
    try:
        with submitit.helpers.clean_env():
            os.environ.update(chosen)
            with executor.batch():
                submitted = [executor.submit(job) for job in jobs]
    except (FailedJobError, FailedSubmissionError) as error:
        reason = next((line for line in str(error).splitlines() if "error:" in line), str(error))
        raise StsmError(f"--slurm: the jobs were refused: {reason.strip()}") from None
    return [job.job_id for job in submitted]


def _wait_for_end(pid: int, seconds: float) -> None:
    """Wait for a child; unlike `Popen.wait`, also where a handler has interrupted `Popen.wait`."""
    deadline = time.monotonic() + seconds
    how = os.WEXITED | os.WNOHANG | os.WNOWAIT
    with suppress(ChildProcessError):  # it has ended, and `Popen.wait` knows
        while os.waitid(os.P_PID, pid, how) is None and time.monotonic() < deadline:
            time.sleep(0.1)
