"""The training loop, to be read from top to bottom.

A run can be stopped at any step and goes on to the same numbers: samples are seeded one by one, and
the checkpoint holds the rest (weights, optimiser, torch's generators, the epoch's running sums).
"""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from stsm_cli.config.load import recipe_hash
from stsm_cli.config.schema import Recipe, TestConfig
from stsm_cli.data.loader import Batch, TrainLoader
from stsm_cli.data.manifest import Manifest
from stsm_cli.data.videos import Videos
from stsm_cli.engine.checkpoint import load_checkpoint, save_checkpoint
from stsm_cli.engine.evaluate import evaluate
from stsm_cli.engine.optim import build_optimizer, lr_at
from stsm_cli.engine.pixels import normalise
from stsm_cli.engine.runlog import RunFolder, describe_environment, write_json
from stsm_cli.errors import CheckpointError, DataError, DivergedError, InterruptedRunError
from stsm_cli.models.build import build_model
from stsm_cli.progress import SILENT, Progress

MAX_BROKEN_SHARE = 0.005  # design section 5: above it the run stops


@dataclass
class Position:
    """Where a run is, and the running sums of its current epoch."""

    epoch: int = 0
    batches: int = 0
    loss_sum: float = 0.0
    correct: int = 0
    seen: int = 0
    broken: int = 0
    seconds: float = 0.0
    data_seconds: float = 0.0


class Trainer:
    """One run: its model, optimiser, position and folder."""

    def __init__(
        self,
        recipe: Recipe,
        train_videos: Videos,
        val_videos: Videos,
        folder: RunFolder,
        *,
        device: torch.device,
        workers: int,
        progress: Progress,
    ) -> None:
        self.recipe, self.folder, self.device = recipe, folder, device
        self.val_videos, self.workers, self.progress = val_videos, workers, progress
        torch.manual_seed(recipe.seed)
        model = build_model(recipe.model).to(device)
        self.model = model.to(memory_format=torch.channels_last)
        self.optimizer = build_optimizer(self.model, recipe.optim)
        self.loader = TrainLoader(
            train_videos,
            recipe.data,
            num_frames=recipe.model.num_frames,
            batch_size=recipe.optim.batch_size,
            seed=recipe.seed,
            workers=workers,
        )
        self.position = Position()
        self.interrupted = False

    def run(self, on_epoch: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
        """Train what is left, evaluate, and return the result."""
        while self.position.epoch < self.recipe.optim.epochs:
            self._train_epoch()
            self.save()
            metrics = self._finish_epoch()
            self.folder.log_epoch(metrics)
            on_epoch(metrics)
        self.save()
        started = time.perf_counter()
        scores = self._evaluate(self.recipe.test, "testing")
        epochs = self.folder.metrics()
        return scores | {
            "seconds_train": round(sum(epoch["seconds"] for epoch in epochs), 1),
            "seconds_eval": round(time.perf_counter() - started, 1),
        }

    def _train_epoch(self) -> None:
        position, total = self.position, len(self.loader)
        label = f"epoch {position.epoch + 1}/{self.recipe.optim.epochs}"
        with self.progress.bar(label, total) as bar:
            bar.advance(position.batches)
            batches = self.loader.epoch(position.epoch, position.batches)
            while position.batches < total:
                started = time.perf_counter()
                batch = next(batches)
                position.data_seconds += time.perf_counter() - started
                self._step(batch)
                position.batches += 1
                position.seconds += time.perf_counter() - started
                bar.advance(1, self._status())
                self._check_interrupt()

    def _step(self, batch: Batch) -> None:
        position, config = self.position, self.recipe.optim
        position.broken += len(batch.broken)
        if position.broken > MAX_BROKEN_SHARE * self.loader.num_videos:
            _, message = next(iter(batch.broken.values()))
            raise DataError(
                f"{position.broken} training videos do not decode, more than "
                f"{MAX_BROKEN_SHARE:.1%}: {message}",
                hint="`stsm prepare` finds and lists them",
            )
        if not batch.indices:
            return
        # set the learning rate
        step = position.epoch * len(self.loader) + position.batches
        lr = lr_at(step, len(self.loader), config)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        # forward
        self.model.train()
        labels = batch.labels.to(self.device)
        with torch.autocast(
            self.device.type, torch.bfloat16, enabled=self.recipe.precision == "bf16"
        ):
            logits = self.model(normalise(batch.pixels, self.device))
        loss = functional.cross_entropy(logits.float(), labels)
        loss_value = float(loss.detach())
        if not torch.isfinite(loss):
            raise DivergedError(
                f"the loss is {loss_value} at step {step} (epoch {position.epoch + 1}, "
                f"lr {lr:.3g}, videos {', '.join(map(str, batch.indices))})",
                hint="lower optim.lr or set optim.clip_grad_norm",
            )
        # backward
        self.optimizer.zero_grad()
        loss.backward()
        if config.clip_grad_norm is not None:
            nn.utils.clip_grad_norm_(self.model.parameters(), config.clip_grad_norm)
        self.optimizer.step()
        # count
        position.loss_sum += loss_value * len(labels)
        position.correct += int((logits.argmax(1) == labels).sum())
        position.seen += len(labels)

    def _finish_epoch(self) -> dict[str, Any]:
        """Evaluate one centre view, say what the epoch gave, and move on to the next."""
        position, data = self.position, self.recipe.data
        started = time.perf_counter()
        view = TestConfig(clips=1, crops=1, crop_px=data.crop_px)
        scores = self._evaluate(view, f"validating epoch {position.epoch + 1}")
        step = position.epoch * len(self.loader) + position.batches - 1
        metrics = {
            "epoch": position.epoch + 1,
            "lr": lr_at(step, len(self.loader), self.recipe.optim),
            "train_loss": position.loss_sum / max(1, position.seen),
            "train_top1": 100 * position.correct / max(1, position.seen),
            "val_top1": scores["top1"],
            "val_pair_accuracy": scores["pair_accuracy"],
            "broken": position.broken,
            "seconds": round(position.seconds, 2),
            "seconds_val": round(time.perf_counter() - started, 2),
            "data_share": round(position.data_seconds / max(1e-9, position.seconds), 3),
        }
        self.position = Position(epoch=position.epoch + 1)
        return metrics

    def _evaluate(self, test: TestConfig, label: str) -> dict[str, Any]:
        return evaluate(
            self.model,
            self.val_videos,
            self.recipe,
            test,
            self.device,
            workers=self.workers,
            label=label,
            progress=self.progress,
            check=self._check_interrupt,
        )

    def _status(self) -> str:
        p = self.position
        lr = self.optimizer.param_groups[0]["lr"]
        seen = max(1, p.seen)
        return (
            f"loss {p.loss_sum / seen:.3f}  top-1 {100 * p.correct / seen:.1f}  lr {lr:.2e}  "
            f"data {p.data_seconds / max(1e-9, p.seconds):.0%}"
        )

    def _check_interrupt(self) -> None:
        if self.interrupted:
            self.save()
            raise InterruptedRunError(
                f"interrupted at epoch {self.position.epoch + 1}, batch {self.position.batches}; "
                f"saved {self.folder.checkpoint}",
                hint=f"continue with `stsm train --resume --out {self.folder.path}`",
            )

    def save(self) -> None:
        """Write the checkpoint: all that the rest of the run depends on."""
        state = {
            "recipe_hash": recipe_hash(self.recipe),
            "position": asdict(self.position),
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "rng": torch.get_rng_state(),
        }
        if self.device.type == "cuda":
            state["cuda_rng"] = torch.cuda.get_rng_state(self.device)
        save_checkpoint(self.folder.checkpoint, state)

    def restore(self) -> None:
        """Go back to the checkpoint.

        Raises:
            CheckpointError: It is unreadable or belongs to another recipe.
        """
        state = load_checkpoint(self.folder.checkpoint)
        if state.get("recipe_hash") != recipe_hash(self.recipe):
            raise CheckpointError(f"{self.folder.checkpoint}: belongs to another recipe")
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.position = Position(**state["position"])
        torch.set_rng_state(state["rng"])
        if self.device.type == "cuda" and "cuda_rng" in state:
            torch.cuda.set_rng_state(state["cuda_rng"], self.device)
        self.folder.keep_metrics(self.position.epoch)


def train(
    recipe: Recipe,
    train_videos: Videos,
    val_videos: Videos,
    out: Path,
    *,
    name: str,
    device: torch.device,
    workers: int = 0,
    resume: bool = False,
    progress: Progress = SILENT,
    on_epoch: Callable[[dict[str, Any]], None] = lambda metrics: None,
) -> dict[str, Any]:
    """Run a recipe to its end inside the run folder `out`, and return what `result.json` holds.

    Args:
        name: The recipe's name, for the result.
        workers: Processes that read videos which are not in memory.
        resume: Continue the run in `out` (or return its result); otherwise `out` must be new.
        on_epoch: Told each epoch's metrics.

    Raises:
        UsageError: `out` exists.
        CheckpointError: `out` cannot be resumed.
        DataError: The data set does not fit the recipe, or too many videos are broken.
        DivergedError: The loss is not finite.
        InterruptedRunError: Ctrl-C; the checkpoint is saved.
    """
    folder, manifest = RunFolder(out), train_videos.manifest
    _check_num_classes(recipe, manifest)
    if resume:
        folder.check_same(recipe)
        folder.check_classes(manifest)
        finished = folder.result()
        if finished is not None:
            return finished
    else:
        root = str(manifest.root.resolve())  # found again from any folder
        about = {"recipe": name, "data": root, "class_hash": manifest.class_hash}
        folder.create(recipe, about | describe_environment(device, train_videos.decoder))
    trainer = Trainer(
        recipe, train_videos, val_videos, folder, device=device, workers=workers, progress=progress
    )
    if resume and folder.checkpoint.exists():
        trainer.restore()
    with _ctrl_c_sets_flag(trainer):
        result = {
            "schema": "stsm.result/1",
            "name": name,
            "protocol": recipe.protocol,
            "recipe_hash": recipe_hash(recipe),
            **trainer.run(on_epoch),
        }
    write_json(folder.result_file, result)
    return result


def _check_num_classes(recipe: Recipe, manifest: Manifest) -> None:
    found = len(manifest.classes)
    if found != recipe.model.num_classes:
        raise DataError(
            f"{manifest.root}: holds {found} classes, "
            f"the recipe's model.num_classes is {recipe.model.num_classes}"
        )


@contextmanager
def _ctrl_c_sets_flag(trainer: Trainer) -> Iterator[None]:
    """The first Ctrl-C stops at the next step; the second at once."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set handlers
        return

    def handle(number: int, frame: FrameType | None) -> None:
        trainer.interrupted = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

    previous = signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
