"""The training loop, to be read from top to bottom.

A run can be stopped at any step, or killed, and goes on to the same numbers: samples are seeded one
by one, and the checkpoint holds the rest. Several processes share each batch and agree on every
step; the first one writes.
"""

import math
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch

from stsm_cli.config.schema import Recipe, TestConfig
from stsm_cli.cores import num_cores
from stsm_cli.data.flow_report import flow_command
from stsm_cli.data.loader import Batch, TrainLoader
from stsm_cli.data.mirror import find_mirror
from stsm_cli.data.videos import Videos
from stsm_cli.engine.accuracy import summary
from stsm_cli.engine.board import Board
from stsm_cli.engine.checkpoint import Position, Saver, copy_checkpoint
from stsm_cli.engine.distributed import (
    current_world,
    first_alone,
    gather_objects,
    sum_over_processes,
    together,
    told_once,
)
from stsm_cli.engine.loss import balanced_weights
from stsm_cli.engine.opening import check_crop
from stsm_cli.engine.optim import lr_at
from stsm_cli.engine.runlog import RunFolder
from stsm_cli.engine.scores import Scores, score_split
from stsm_cli.engine.step import Gradient, Stepper
from stsm_cli.engine.stop import StopRequest, stopped_by
from stsm_cli.errors import DataError, DivergedError
from stsm_cli.models.build import build_model
from stsm_cli.models.network import Network
from stsm_cli.printable import counted
from stsm_cli.progress import Progress
from stsm_cli.stored import SplitScore

MAX_BROKEN_SHARE = 0.005  # ours: above it the run stops
WAITING_SHARE = 1 / 3  # of an epoch: above it, reading is what to make faster


_Evaluated = tuple[Scores, SplitScore]


class Tested(NamedTuple):
    """Test of a trained network, and the time that training and test took.

    `stopped_epoch` is the last one of a training that ended early; else None.
    """

    scores: Scores
    score: SplitScore
    seconds_train: float
    seconds_eval: float
    stopped_epoch: int | None


class Trainer:
    """One run: its network, loader and position."""

    def __init__(
        self,
        recipe: Recipe,
        train_videos: Videos,
        val_videos: Videos,
        folder: RunFolder,
        *,
        test_videos: Videos,
        device: torch.device,
        workers: int,
        compile_with: str | None,
        progress: Progress,
        resume: bool,
    ) -> None:
        self.recipe, self.folder, self.device = recipe, folder, device
        self.train_videos, self.val_videos = train_videos, val_videos
        self.test_videos = test_videos
        self.workers, self.progress, self.world = workers, progress, current_world()
        model = self._build_model(reads_weights=not resume).to(device).channels_last()
        with together():
            check_crop(model, recipe.data.crop_px, "data.crop_px")
            check_crop(model, recipe.test.crop_px, "test.crop_px")
        self.stepper = Stepper(model, recipe, device, compile_with, self._class_weights())
        self.saver = Saver(recipe, self.stepper, folder)
        with together():
            self.loader = TrainLoader(
                train_videos,
                recipe.data,
                view=recipe.model.view,
                optim=recipe.optim,
                seed=recipe.seed,
                workers=workers,
                rank=self.world.rank,
                world_size=self.world.size,
                pin_memory=device.type == "cuda",
            )
        self.steps_per_epoch = len(self.loader) // recipe.optim.accumulate
        self.position = Position()
        self.has_advised = False
        if resume:
            self._restore()

    def _build_model(self, *, reads_weights: bool) -> Network:
        """The network; without `reads_weights` a checkpoint will fill it."""
        config = self.recipe.model
        if not reads_weights:
            config = config.without_start()
        torch.manual_seed(self.recipe.seed)
        model = first_alone(lambda: build_model(config, progress=self.progress))
        if self.world.rank > 0:  # else all processes would drop the same features
            torch.manual_seed(self.recipe.seed + self.world.rank)
        return model

    def _class_weights(self) -> torch.Tensor | None:
        if self.recipe.loss.class_weights == "none":
            return None
        manifest, mirrored = self.train_videos.manifest, None
        labels = [manifest.records[index].label for index in self.train_videos.trained_on]
        if self.recipe.data.flip == "label_aware":
            mirror = find_mirror(self.recipe.data.dataset, manifest.classes, manifest.root)
            mirrored = mirror.labels(manifest.classes).tolist()
        return balanced_weights(labels, len(manifest.classes), mirrored)

    @property
    def step(self) -> int:
        """Optimiser steps so far."""
        return self.position.epoch * self.steps_per_epoch + self.position.batches

    def _lr(self, step: int) -> float:
        return lr_at(step, self.steps_per_epoch, self.recipe.optim, self.loader.num_videos)

    def _restore(self) -> None:
        with together():
            self.position, num_processes = self.saver.restore()
        if num_processes != self.world.size:
            begun = counted(num_processes, "process", "processes")
            self.progress.message(
                f"warning: begun with {begun}, goes on with {self.world.size}: "
                "other numbers than without the break"
            )
        if self.world.is_main:
            self.folder.tidy(self.position.epoch)

    def run(
        self, stop: StopRequest, board: Board, on_epoch: Callable[[dict[str, Any]], None]
    ) -> Tested:
        """Train what is left, and evaluate."""
        tested = None
        while self.position.epoch < self.recipe.optim.epochs and not self._is_stalled():
            self._train_epoch(stop, board)
            self._save()
            started = time.perf_counter()
            label = f"validating epoch {self.position.epoch + 1}"
            tested = self._evaluate(self.val_videos, self._validation(), label, stop)
            metrics = self._metrics(tested[1], time.perf_counter() - started)
            if self.world.is_main:
                self._log(metrics)
                board.epoch(self.step - 1, metrics)
                on_epoch(metrics)
            self.position = Position(epoch=self.position.epoch + 1)
        return self._test(tested, stop)

    def _is_stalled(self) -> bool:
        """Tell whether validation has not improved for `patience_epochs` epochs."""
        patience = self.recipe.optim.patience_epochs
        if patience is None:
            return False
        metrics = gather_objects(self.folder.metrics() if self.world.is_main else [])[0]
        top1 = [epoch["val_top1"] for epoch in metrics]
        if not top1 or len(top1) - 1 - top1.index(max(top1)) < patience:
            return False
        self.progress.message(
            f"stops after epoch {len(top1)} of {self.recipe.optim.epochs}: the best validation, "
            f"{max(top1):.1f} %, was {counted(patience, 'epoch')} ago (optim.patience_epochs)"
        )
        return True

    def _train_epoch(self, stop: StopRequest, board: Board) -> None:
        position, total = self.position, self.steps_per_epoch
        label = f"epoch {position.epoch + 1}/{self.recipe.optim.epochs}"
        with self.progress.bar(label, total) as bar:
            bar.advance(position.batches)
            parts_done = position.batches * self.recipe.optim.accumulate
            batches = self.loader.epoch(position.epoch, parts_done)
            while position.batches < total:
                started = time.perf_counter()
                parts = self._read(batches, stop)
                num_videos, num_broken, *asked = self._agree(parts, stop)
                waited = time.perf_counter() - started
                self._heed(*asked)
                position.data_seconds += waited
                self._count_broken(parts, num_broken)
                if num_videos:
                    self._step(parts, num_videos, board)
                position.batches += 1
                position.seconds += time.perf_counter() - started
                bar.advance(1, self._status())

    def _read(self, batches: Iterator[Batch], stop: StopRequest) -> list[Batch]:
        try:
            return [next(batches) for _ in range(self.recipe.optim.accumulate)]
        except DataError:
            if not stop.came():
                raise
            return []  # a SIGTERM to the whole job ends the reading processes too

    def _agree(self, parts: Sequence[Batch], stop: StopRequest) -> list[int]:
        """Videos and broken videos of all processes' parts, and how many ask `_heed` for what."""
        wanted = stop.signal
        counts = sum_over_processes(
            [
                sum(len(part.indices) for part in parts),
                sum(len(part.broken) for part in parts),
                self.saver.is_due,
                wanted == signal.SIGTERM,
                wanted == signal.SIGINT,
            ]
        )
        return [int(count) for count in counts]

    def _heed(self, due: int, preempted: int, interrupted: int) -> None:
        """Save, and stop, where a process asks for it."""
        if due or preempted or interrupted:
            self._save()
        if preempted or interrupted:
            at = f"at epoch {self.position.epoch + 1}, batch {self.position.batches}"
            by = signal.SIGTERM if preempted else signal.SIGINT
            raise told_once(stopped_by(by, at, self.folder))

    def _count_broken(self, parts: Sequence[Batch], num_broken: int) -> None:
        self.position.broken += num_broken
        if num_broken and self.position.broken > MAX_BROKEN_SHARE * self.loader.num_videos:
            total = self.position.broken
            self.position.broken -= num_broken  # resumed, it reads them again
            self._save()
            found = [message for part in parts for _, message in part.broken.values()]
            messages = [message for part in gather_objects(found) for message in part]
            hint = "`stsm prepare` finds and lists them; what is deleted of the embedded set it "
            hint += "makes anew"
            if flow := self.train_videos.flow:
                root = self.train_videos.manifest.root
                hint = f"{flow_command(root, flow.method)} makes what is missing, or lists it"
            raise told_once(
                DataError(
                    f"training videos that do not decode: {total}, more than "
                    f"{MAX_BROKEN_SHARE:.1%}: {messages[0]}",
                    hint=hint,
                )
            )

    def _step(self, parts: Sequence[Batch], num_videos: int, board: Board) -> None:
        position = self.position
        lr = self._lr(self.step)
        gradient = self.stepper.gradient(parts, num_videos)
        if not self.stepper.accepts(gradient):
            raise self._stepped_off(gradient, parts)
        self.stepper.apply(lr)
        position.loss_sum += gradient.loss_sum
        position.correct += gradient.correct
        position.seen += num_videos
        loss = gradient.loss_sum / num_videos
        board.step(self.step, {"loss": loss, "lr": lr, "gradient_norm": gradient.norm})

    def _save(self) -> None:
        """Save, but never weights that are no numbers over those that were."""
        if sum_over_processes([not self.stepper.is_finite()])[0]:
            raise self._diverged("weights are not finite after", self.step - 1, "")
        self.saver.save(self.position)

    def _stepped_off(self, gradient: Gradient, parts: Sequence[Batch]) -> BaseException:
        what, value, indices = "loss", gradient.loss_sum, gradient.suspects
        if math.isfinite(value):
            what, value = "gradient's norm", gradient.norm
            indices = tuple(index for part in parts for index in part.indices)
        records = self.train_videos.manifest.records
        videos = [records[i].path for process in gather_objects(indices) for i in process]
        return self._diverged(f"{what} is {value} at", self.step, f", videos {', '.join(videos)}")

    def _diverged(self, what: str, step: int, videos: str) -> BaseException:
        verb = "set" if self.recipe.optim.clip_grad_norm is None else "lower"
        hint = f"lower optim.lr or {verb} optim.clip_grad_norm"
        if self.folder.checkpoint.exists():
            hint += f"; {self.folder.checkpoint} is from before"
        return told_once(
            DivergedError(
                f"the {what} step {step} (epoch {self.position.epoch + 1}, "
                f"lr {self._lr(step):.3g}{videos})",
                hint=hint,
            )
        )

    def _validation(self) -> TestConfig:
        """One view a video: the centre of its frames, of its first 64 under dense sampling."""
        return TestConfig(
            clips=1, crops=1, crop_px=self.recipe.data.crop_px, average=self.recipe.test.average
        )

    def _evaluate(
        self, videos: Videos, test: TestConfig, label: str, stop: StopRequest
    ) -> _Evaluated:
        """Scores of a split, the same in all processes."""

        def check() -> None:  # all that counts is in the checkpoint, and each process is told
            if stop.signal is not None:
                raise told_once(stopped_by(stop.signal, f"while {label}", self.folder))

        self.stepper.share_buffers()
        try:
            scores = score_split(
                self.stepper.result,
                videos,
                self.recipe,
                test,
                self.device,
                workers=self.workers,
                label=label,
                progress=self.progress,
                check=check,
            )
        except DataError:
            if stop.came():  # as in `_read`
                check()
            raise
        return scores, summary(scores, videos.manifest, self.recipe)

    def _metrics(self, scores: SplitScore, seconds_val: float) -> dict[str, Any]:
        position = self.position
        return {
            "epoch": position.epoch + 1,
            "lr": self._lr(self.step - 1),
            "train_loss": position.loss_sum / max(1, position.seen),
            "train_top1": 100 * position.correct / max(1, position.seen),
            "val_top1": scores.top1,
            "val_pair_accuracy": scores.pair_accuracy,
            "broken": position.broken,
            "seconds": round(position.seconds, 2),
            "seconds_val": round(seconds_val, 2),
            "data_share": round(position.data_seconds / max(1e-9, position.seconds), 3),
        }

    def _log(self, metrics: dict[str, Any]) -> None:
        """Keep the epoch's metrics, and its checkpoint if it is the best."""
        before = [epoch["val_top1"] for epoch in self.folder.metrics()]
        if metrics["val_top1"] > max(before, default=-math.inf):
            copy_checkpoint(self.folder.checkpoint, self.folder.best_checkpoint)
        self.folder.log_epoch(metrics)
        self._advise(metrics["data_share"])

    def _advise(self, data_share: float) -> None:
        if data_share <= WAITING_SHARE or self.train_videos.cache is not None or self.has_advised:
            return
        self.has_advised = True
        more = f"raise --workers (now {self.workers}, of {num_cores()} cores), or "
        self.progress.message(
            f"hint: {data_share:.0%} of the time was spent waiting for data: "
            f"{more if self.workers < num_cores() else ''}"
            "re-encode the videos for fast access: `stsm prepare ... --short-side 256 --gop 16`"
        )

    def _test(self, tested: _Evaluated | None, stop: StopRequest) -> Tested:
        """The result under the recipe's protocol; the last validation's where that is the same."""
        epochs, started = gather_objects(self.folder.metrics())[0], time.perf_counter()
        if tested is None or self.recipe.test != self._validation():
            tested = self._evaluate(self.test_videos, self.recipe.test, "testing", stop)
            seconds = time.perf_counter() - started
        else:
            seconds = epochs[-1]["seconds_val"]
        seconds_train = sum(epoch["seconds"] for epoch in epochs)
        stopped = len(epochs) if len(epochs) < self.recipe.optim.epochs else None
        return Tested(*tested, round(seconds_train, 1), round(seconds, 1), stopped)

    def _status(self) -> str:
        p, seen = self.position, max(1, self.position.seen)
        lr = self._lr(self.step - 1)
        return (
            f"loss {p.loss_sum / seen:.3f}  top-1 {100 * p.correct / seen:.1f}  lr {lr:.2e}  "
            f"data {p.data_seconds / max(1e-9, p.seconds):.0%}"
        )
