"""`stsm train`."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stsm_cli.allocator import keep_freed_memory
from stsm_cli.cli import output
from stsm_cli.cli.options import Data, DecoderName, Device, Json, Nproc, Overrides, Workers
from stsm_cli.cli.processes import start_processes
from stsm_cli.cli.recipes import complete_recipe, print_recipe
from stsm_cli.cli.submit import Slurm, print_jobs, refuse_nproc, submit_training
from stsm_cli.errors import CheckpointError, UsageError
from stsm_cli.printable import command_line, harmless

if TYPE_CHECKING:
    import torch

    from stsm_cli.config.load import LoadedRecipe
    from stsm_cli.config.schema import Recipe
    from stsm_cli.data.manifest import Manifest
    from stsm_cli.engine.job import Job
    from stsm_cli.engine.runlog import RunFolder
    from stsm_cli.stored import Result

DEFAULT_RECIPE = "synth/stsm"
MOST_BROKEN = 5  # that are named


def train(
    context: typer.Context,
    recipe: Annotated[
        str | None,
        typer.Argument(
            metavar="RECIPE",
            autocompletion=complete_recipe,
            help=f"A recipe's name or file; default `{DEFAULT_RECIPE}`.",
            show_default=False,
        ),
    ] = None,
    overrides: Overrides = None,
    data: Data = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="DIR",
            help="The run folder; default the next free `runs/<recipe>-NNN`.",
            show_default=False,
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Continue the run in --out, or the newest unfinished one."),
    ] = False,
    init: Annotated[
        Path | None,
        typer.Option(
            "--init",
            metavar="FILE",
            help="Start from these weights (`stsm convert`, or a checkpoint), not from ImageNet's; "
            "recorded as `model.init`.",
            show_default=False,
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Check what can be checked without training; print each value of the recipe, its "
            "origin, and the batch; stop. No device is looked for: it may be another machine's.",
        ),
    ] = False,
    device: Device = "auto",
    nproc: Nproc = 1,
    compiled: Annotated[
        bool, typer.Option("--compile", help="Train through `torch.compile`.")
    ] = False,
    workers: Workers = None,
    decoder: DecoderName = None,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Write curves to RUN/tensorboard, too.")
    ] = False,
    wandb: Annotated[
        str | None,
        typer.Option(
            "--wandb",
            metavar="PROJECT",
            help="Send curves to this project of Weights & Biases, too.",
            show_default=False,
        ),
    ] = None,
    slurm: Slurm = None,
    as_json: Json = False,
) -> None:
    """Train one recipe into a run folder and test it.

    Several machines: start it on each with torchrun, as `torchrun ... -m stsm_cli train ...`, or
    let --slurm do so. A SLURM job that is stopped before its end is queued again and resumes.

    Examples:
      stsm train
      stsm train synth/tsm --set optim.epochs=2 --set seed=1
      stsm train k400/stsm_r50_8f --data /data/k400 --nproc 8
      stsm train k400/stsm_r50_8f --slurm nodes=2,gpus_per_node=8,time=48:00:00
    """
    from stsm_cli.config.batch import check_processes
    from stsm_cli.config.load import load_recipe
    from stsm_cli.engine.device import check_device, choose_workers
    from stsm_cli.engine.distributed import current_world, joined, together

    edits = [*(overrides or []), *_init_edits(init)]
    load = partial(load_recipe, recipe or DEFAULT_RECIPE, edits)
    if dry_run:
        _check_given(device, decoder, None if resume else out, tensorboard, wandb, slurm)
        new = None if resume else _begun_from(load(), init, data)
        loaded, root = (new, data) if new else _continued(recipe, edits, out, init, data)
        _print_plan(loaded, root, max(nproc, current_world().size), as_json)
        return
    make_job = partial(_job, recipe, edits, resume, out, data, decoder)
    if slurm is not None:
        check = partial(_check_start_of, device, resume, tensorboard, wandb)
        _submit(make_job, check, slurm, workers, context, resume=resume, as_json=as_json)
        return
    if nproc not in (1, current_world().size):
        if not resume:
            check_processes(load().recipe, nproc)  # what is wrong is told before anything starts
        raise typer.Exit(start_processes(nproc, context))
    if not current_world().is_main:
        output.use(output.Output(-1))
    console = output.current()
    with joined() as world:
        with together():
            check_device(device)
            job = make_job()
            from stsm_cli.engine.train import train as run  # only now: it takes seconds

            where = _device(device, job, resume, tensorboard, wandb)
        splits = job.open(console)
        with _claimed(job, resume) as folder:
            result = run(
                job.recipe,
                splits.train,
                splits.val,
                folder.path,
                test_videos=splits.test,
                name=job.name,
                device=where,
                workers=choose_workers(workers),
                resume=resume,
                compile_with="inductor" if compiled else None,
                tensorboard=tensorboard,
                wandb=wandb,
                progress=console,
                on_epoch=_epoch_teller(job.recipe.optim.epochs),
                on_ctrl_c=partial(console.at_once, output.STOPPING),
            )
    if world.is_main:
        num_classes = len(splits.val.manifest.classes)
        record = folder.result() if as_json else None
        print_result(result, folder.path, num_classes=num_classes, record=record)


def _device(
    name: str, job: "Job", resume: bool, tensorboard: bool, wandb: str | None
) -> "torch.device":
    """The device, once nothing but the data can keep the job from running on it.

    Raises:
        UsageError: There is no such device, a new run's precision would crawl on it, or as
            `_check_start_of`.
        CheckpointError: As `_check_start_of`.
        RecipeError: As `_check_start_of`.
    """
    from stsm_cli.engine.device import choose_device
    from stsm_cli.engine.opening import check_precision

    keep_freed_memory()
    device = choose_device(name)
    if not resume:
        check_precision(job.recipe, device)
    _check_start_of(name, resume, tensorboard, wandb, job)
    return device


def _check_start_of(
    device: str, resume: bool, tensorboard: bool, wandb: str | None, job: "Job"
) -> None:
    """Refuse a job that would stop at its start, on whatever machine it runs.

    Raises:
        UsageError: The device is one nowhere, or TensorBoard or Weights & Biases is asked for and
            not ready.
        CheckpointError: The weights that a new run starts from do not fit its network.
        RecipeError: Parts of the network are to be frozen that it does not have.
    """
    from stsm_cli.engine.device import check_device
    from stsm_cli.engine.optim import check_frozen
    from stsm_cli.models.build import check_init

    check_device(device)
    if not resume:
        check_init(job.recipe.model)
        check_frozen(job.recipe)
    _check_boards(tensorboard, wandb)


def _submit(
    make_job: Callable[[], "Job"],
    check: Callable[["Job"], None],
    slurm: str,
    workers: int | None,
    context: typer.Context,
    *,
    resume: bool,
    as_json: bool,
) -> None:
    """Submit the job; what is wrong with it is told now, not after the queue."""
    from stsm_cli.config.batch import check_processes
    from stsm_cli.engine.slurm import refuse_device
    from stsm_cli.engine.slurm_options import parse_cluster

    refuse_nproc(context.params["nproc"])
    cluster = parse_cluster(slurm, workers=workers)
    refuse_device(cluster, context.params["device"])
    job = make_job()
    check(job)
    check_processes(job.recipe, cluster.num_processes)
    job.open(output.current())
    with _claimed(job, resume) as folder:
        submitted = submit_training(context, folder.path, cluster)
    print_jobs([submitted], f"its result will be {submitted.out}/result.json", as_json=as_json)


@contextmanager
def _claimed(job: "Job", resume: bool) -> Iterator["RunFolder"]:
    """The run's folder; it goes again where the run ends before anything is in it."""
    folder = job.claim()
    _say(f"{'continuing' if resume else 'run folder'} {folder.path}", *job.notes)
    try:
        yield folder
    except BaseException:  # Ctrl-C and SIGTERM, too
        folder.forget_if_empty()
        raise


def _job(
    recipe: str | None,
    edits: list[str],
    resume: bool,
    out: Path | None,
    data: Path | None,
    decoder: str | None,
) -> "Job":
    """The job to begin or to continue, checked as far as is possible without torch."""
    from stsm_cli.config.load import load_recipe
    from stsm_cli.engine.job import continued_job, new_job

    if resume:
        job = continued_job(recipe, edits, out, data, decoder)
    else:
        job = new_job(load_recipe(recipe or DEFAULT_RECIPE, edits), out, data, decoder)
    job.check()
    return job


def _continued(
    recipe: str | None, edits: list[str], out: Path | None, init: Path | None, data: Path | None
) -> "tuple[LoadedRecipe, Path | None]":
    """The own recipe of a continued run, or that of one begun again; the folder of its data."""
    from stsm_cli.config.load import load_recipe
    from stsm_cli.engine.job import continued_job

    job = continued_job(recipe, edits, out, data, None)
    assert job.folder is not None
    if recipe is not None and not job.folder.recipe_file.is_file():  # killed before it had one
        return _begun_from(load_recipe(recipe, edits), init, data), job.data
    own = load_recipe(str(job.folder.recipe_file), of_run=True)
    return replace(own, name=job.name), job.data


def _init_edits(init: Path | None) -> list[str]:
    """`--init` as edits of the recipe: its weights are the only ones to start from.

    Raises:
        UsageError: There is no such file.
    """
    if init is None:
        return []
    if not init.is_file():
        raise UsageError(f"--init {init}: no such file")
    path = harmless(json.dumps(str(init.resolve()), ensure_ascii=False))  # YAML takes no pairs
    return ["model.weights=null", f"model.init={path}"]


def _begun_from(loaded: "LoadedRecipe", init: Path | None, data: Path | None) -> "LoadedRecipe":
    """The recipe with `--init`, if any, as the origin of what `_init_edits` makes of it.

    Weights that the recipe itself names may come to this place later, as videos may.

    Raises:
        CheckpointError: The weights do not fit its network, or are none.
    """
    if init is None:
        _warn_of_start(loaded.recipe, data)
        return loaded
    _check_start(loaded.recipe, data)
    origins = dict.fromkeys(("model.weights", "model.init"), "--init")
    return replace(loaded, origins=loaded.origins | origins)


def _warn_of_start(recipe: "Recipe", data: Path | None) -> None:
    """Say where weights that a recipe names are none, or do not fit its network."""
    if recipe.model.init is None:
        return
    try:
        _check_start(recipe, data)
    except CheckpointError as error:
        output.current().warn_of(error)


def _check_boards(tensorboard: bool, wandb: str | None) -> None:
    """Look whether the boards that are asked for can be written.

    Raises:
        UsageError: One cannot.
    """
    if tensorboard or wandb is not None:
        from stsm_cli.engine.boards import Boards  # only now: it takes seconds

        Boards(tensorboard, wandb).check()


def _check_given(
    device: str,
    decoder: str | None,
    out: Path | None,
    tensorboard: bool,
    wandb: str | None,
    slurm: str | None,
) -> None:
    """Refuse what no run could use, whatever its recipe.

    Raises:
        UsageError: The device is one nowhere, there is no such decoder here, `out` is taken or
            cannot be written, a board is asked for and not ready, or `slurm` is not valid.
    """
    from stsm_cli.data.decode import choose_decoder
    from stsm_cli.engine.device import check_device
    from stsm_cli.engine.runlog import RunFolder
    from stsm_cli.engine.slurm_options import parse_cluster

    check_device(device)
    if out is not None:
        RunFolder(out).check_new()
        RunFolder(out).check_writable()
    if decoder is not None:
        choose_decoder(decoder)
    if slurm is not None:
        parse_cluster(slurm, workers=None)
    _check_boards(tensorboard, wandb)


def _say(*lines: str) -> None:
    for line in lines:
        output.current().message(line)


def _epoch_teller(epochs: int) -> Callable[[dict[str, Any]], None]:
    """Says a line of each epoch whose metrics it is called with."""
    measured: list[dict[str, Any]] = []

    def tell(metrics: dict[str, Any]) -> None:
        measured.append(metrics)
        output.current().message(_epoch_line(measured, epochs))

    return tell


def _epoch_line(measured: Sequence[dict[str, Any]], epochs: int) -> str:
    """The last of the epochs measured by this process, and the time that those to come take."""
    from stsm_cli.engine.opening import seconds_left

    metrics, left = measured[-1], seconds_left(measured, epochs)
    text = (
        f"epoch {metrics['epoch']}/{epochs}  loss {metrics['train_loss']:.3f}  "
        f"train {metrics['train_top1']:.1f} %  val {metrics['val_top1']:.1f} %  "
        f"{metrics['seconds'] + metrics['seconds_val']:.0f} s (data {metrics['data_share']:.0%})"
    )
    return f"{text}, {output.duration(left)} left" if left else text


def _check_start(recipe: "Recipe", data: Path | None) -> None:
    """Look whether the weights that a new run starts from fit its network; says so as it does.

    Raises:
        CheckpointError: They do not, or are none.
    """
    from stsm_cli.data.manifest import has_manifest, read_manifest
    from stsm_cli.engine.fitting import fit_recipe
    from stsm_cli.models.weights_kind import check_weights

    assert recipe.model.init is not None
    check_weights(Path(recipe.model.init))
    root = data or recipe.data.place()
    if has_manifest(root, "train"):
        recipe = fit_recipe(recipe, read_manifest(root, "train")).recipe
    from stsm_cli.models.build import check_init  # only now: it takes seconds

    check_init(recipe.model, progress=output.current())


def _check_frozen(recipe: "Recipe") -> None:
    """Refuse to freeze parts that the network has not."""
    if recipe.optim.frozen:
        from stsm_cli.engine.optim import check_frozen  # only now: it takes seconds

        check_frozen(recipe)


def _print_plan(
    loaded: "LoadedRecipe", data: Path | None, num_processes: int, as_json: bool
) -> None:
    from stsm_cli.config.batch import check_spread, mixes_nothing, plan_batch, slow_average
    from stsm_cli.data.dataset import obstacle
    from stsm_cli.data.manifest import has_manifest, read_manifest
    from stsm_cli.engine.fitting import fit_recipe

    config, notes = loaded.recipe, loaded.notes
    _check_frozen(config)
    if problem := obstacle(config.data, data, config.model.view.flow_fields):
        output.current().warn_of(problem)
    root, num_videos = data or config.data.place(), None
    if has_manifest(root, "train"):
        manifest = read_manifest(root, "train")
        num_videos = _num_trained_on(config, manifest)
        notes += fit_recipe(config, manifest).notes
    batch = plan_batch(config.optim, num_processes, num_videos)
    check_spread(config, batch)
    steps = batch.steps_per_epoch
    facts = {"schema": "stsm.plan/1", "batch": asdict(batch), "steps_per_epoch": steps}
    notes.append(f"{batch}; {_none_yet(config, root)}" if steps is None else str(batch))
    _say(*slow_average(config.optim, batch), *mixes_nothing(config.loss, batch))
    print_recipe(loaded, as_json=as_json, facts=facts, notes=notes)


def _none_yet(config: "Recipe", root: Path) -> str:
    """Why nothing is known of the videos at `root`."""
    if config.data.generated is not None or not root.is_dir():
        return f"no videos at {root} yet"
    name = config.data.dataset
    return f"{root} is not prepared yet: `{command_line('prepare', name, root)}`"


def _num_trained_on(config: "Recipe", manifest: "Manifest") -> int:
    """Number of a set's videos that a training takes; says which it leaves out.

    Raises:
        DataError: None has the flow that the recipe reads.
    """
    from stsm_cli.data.flow_report import told_without_flow, videos_without_flow

    num_videos = len(manifest.records)
    if config.model.stream != "flow":
        return num_videos
    root, method, listed = manifest.root, config.data.flow, {r.path for r in manifest.records}
    if lacking := videos_without_flow(root, method, "train") & listed:
        _say(told_without_flow(root, method, "train", lacking, num_videos))
    return num_videos - len(lacking)


def print_result(
    result: "Result", origin: Path | str, *, num_classes: int, record: dict[str, Any] | None
) -> None:
    """Show a run's test result: one row, or `record`, the object of JSON that is kept of it."""
    console = output.current()
    if record is not None:
        console.json(record | {"run": str(origin)})
        return
    from stsm_cli.config.load import EDITS

    name, _, edits = result.name.partition(EDITS)
    low, high = result.top1_interval
    columns = {
        "recipe": name,
        "protocol": result.protocol,
        "videos": str(result.num_listed),
        "top-1": f"{result.top1:.1f} [{low:.1f}, {high:.1f}]",
        "top-5": f"{result.top5:.1f}",
        "mean class": f"{result.mean_class:.1f}",
    }
    if num_classes <= 5:  # any guess is right
        del columns["top-5"]
    if result.pair_accuracy is not None:
        columns["in pair"] = f"{result.pair_accuracy:.1f}"
    notes = [f"recipe {name} with {edits}"] if edits else []
    if fused := result.fused:
        weights = " and ".join(f"{weight:g}" for weight in fused.weights)
        notes.append(f"fused by {fused.by}, weights {weights}")
    notes.append(f"accuracies in %, with the 95 % Wilson interval; from {origin}")
    if result.stopped_epoch is not None:
        notes.append(f"the training stopped early, after epoch {result.stopped_epoch}")
    if result.num_in_lists or result.broken:  # results of old runs have no lists
        notes.append(_which_videos(result))
    console.table("Test", list(columns), [list(columns.values())], notes=notes)
    if len(factors := result.factors) > 1:
        cells = [
            [name, str(score.videos), f"{score.top1:.1f}", f"{score.in_pair:.1f}"]
            for name, score in factors.items()
        ]
        heads = ["told apart by", "videos", "top-1", "in pair"]
        console.table("By what tells the two classes of a pair apart", heads, cells)


def _which_videos(result: "Result") -> str:
    """Numbers of videos that the data set names, that can be used, and that were."""
    usable, broken = f"{result.num_listed:,} usable", result.broken
    if listed := result.num_in_lists:
        usable = f"{listed:,} in the data set's lists, {usable} by `stsm prepare`"
    text = f"videos: {usable}, {result.num_videos:,} decoded in this test"
    if not broken:
        return text
    more = ", ..." if len(broken) > MOST_BROKEN else ""
    named = ", ".join(broken[:MOST_BROKEN])
    return f"{text}; did not decode and count as wrong, {len(broken):,}: {named}{more}"
