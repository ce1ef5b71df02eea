"""Exceptions of other packages as errors of this one: a line for the user, and its cure."""

import errno
import os
from typing import Any, cast

import typer
from pydantic import ValidationError

from stsm_cli.errors import StsmError, UsageError
from stsm_cli.printable import one_line

CommandLineError = cast(type[Exception], typer.BadParameter.__bases__[0])
"""Typer's exception for a wrong command line; it has no public name."""

# What users of other projects call a key of the recipe; its own last part is known without.
ALSO_CALLED = {
    "model.backbone": "arch model net network",
    "model.num_frames": "frames n_frames num_segments segments clip_len",
    "model.num_classes": "classes n_classes nclass",
    "model.shift.dims": "shift",
    "model.shift.alpha": "shift_div fold_div",
    "model.weights": "pretrained",
    "model.dropout": "drop",
    "data.crop_px": "crop crop_size img_size input_size size",
    "data.short_side_px": "short_side resize",
    "data.rand_augment": "randaug randaugment auto_augment aa",
    "data.sampling": "dense dense_sample",
    "optim.optimizer": "opt",
    "optim.lr": "learning_rate base_lr",
    "optim.schedule": "sched scheduler lr_scheduler lr_type",
    "optim.milestones_epochs": "milestones lr_steps",
    "optim.warmup_epochs": "warmup",
    "optim.epochs": "num_epochs n_epochs max_epochs total_epochs",
    "optim.patience_epochs": "patience early_stopping early_stop",
    "optim.ema_decay": "ema model_ema model_ema_decay",
    "optim.frozen": "freeze freeze_layers frozen_stages",
    "optim.batch_size": "batch bs train_batch_size",
    "optim.accumulate": "accum accum_iter grad_accum gradient_accumulation_steps",
    "optim.weight_decay": "wd",
    "optim.clip_grad_norm": "clip_grad clip_gradient grad_clip max_norm",
    "loss.label_smoothing": "smoothing label_smooth",
    "loss.class_weights": "class_weight",
    "loss.mixup_alpha": "mixup",
    "loss.cutmix_alpha": "cutmix",
    "precision": "amp fp16 bf16 dtype",
    "seed": "seed random_seed",
    "test.clips": "num_clips test_clips",
    "test.crops": "num_crops test_crops",
}
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
"""What a write to an open file fails with; the error names none."""
_MEMORY = ("can't allocate memory", "not enough memory", "Storage size calculation overflowed")


def usage_error(error: Exception) -> UsageError:
    """Error of ours for a wrong command line, as Typer reports it."""
    wrong: Any = error
    rule, _, rest = wrong.format_message().rstrip(".").partition(". ")
    option, hint = getattr(wrong, "option_name", None), rest[:1].lower() + rest[1:] or None
    rule = _broken_rule(wrong) or rule
    parameters = wrong.ctx.command.params if wrong.ctx else ()
    takes_edits = any("--set" in parameter.opts for parameter in parameters)
    if option is not None and (near := getattr(wrong, "possibilities", None)):
        rule, hint = f"No such option: {option}", f"did you mean {' or '.join(near)}?"
    if option is not None and takes_edits and (keys := _keys_called(option)):
        edits = " or ".join(f"`--set {key}=VALUE`" for key in keys)
        hint = f"the recipe has it: {edits}"
    if hint is None and wrong.ctx:
        hint = f"`{wrong.ctx.command_path} --help` tells what can be given"
    return UsageError(rule[:1].lower() + rule[1:], hint=hint)


def memory_error(error: Exception) -> StsmError | None:
    """Error for memory that ran out, on the device too; None where that is not the cause."""
    first_line = str(error).partition("\n")[0]
    out_of_memory = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    if not out_of_memory and not any(sign in str(error) for sign in _MEMORY):
        return None
    return StsmError(
        f"there is not enough memory ({first_line or type(error).__name__})",
        hint="smaller batches, fewer frames or smaller crops take less, and so do fewer --workers",
    )


def file_error(error: Exception) -> StsmError | None:
    """Error for a file that the system refuses or has no room for; None where that is no cause.

    A folder that is closed to the user, or a name that is too long, shows wherever a path is first
    looked at.
    """
    if isinstance(error, RuntimeError) and str(error).startswith("Symlink loop from "):
        return StsmError(f"a link leads to itself ({one_line(str(error))})")  # until Python 3.12
    if not isinstance(error, OSError):
        return None
    if isinstance(error.filename, (str, bytes)) and error.errno is not None:
        file = one_line(os.fsdecode(error.filename))
        return StsmError(f"{file}: cannot be read or written ({error.strerror})")
    if error.errno in _NO_ROOM:
        return StsmError(f"the output or a file cannot be written ({error.strerror})")
    return None


def import_error(error: Exception) -> StsmError | None:
    """Error for another's package that does not import here; None where that is no cause."""
    if not isinstance(error, ImportError) or (error.name or "stsm_cli").startswith("stsm_cli"):
        return None
    return StsmError(
        f"a package does not import here ({one_line(str(error))})",
        hint="`stsm doctor` looks for what is broken and says what to do",
    )


def _broken_rule(wrong: Any) -> str | None:  # noqa: ANN401
    """Which option's value breaks which rule, where Typer tells by an error of pydantic's."""
    cause = getattr(wrong, "__cause__", None)
    if not isinstance(cause, ValidationError):
        return None  # of older versions; they name the value themselves
    item = cause.errors()[0]
    name = next(iter(wrong.param.opts))
    where = name if name.startswith("-") else wrong.param.metavar or name
    if item["type"] == "value_error":  # names the value
        return f"{where}: {item['msg'].removeprefix('Value error, ').rstrip('.')}"
    rule = item["msg"].replace("Input should be", "must be").partition(", unable")[0]
    return f"{where}: {rule}, got {one_line(str(item['input']))}"


def _keys_called(option: str) -> list[str]:
    """Keys of the recipe that `option` may stand for."""
    from stsm_cli.config.validate import recipe_keys

    name = option.lstrip("-").replace("-", "_").lower()
    if also := [key for key, names in ALSO_CALLED.items() if name in names.split()]:
        return also
    return [key for key in recipe_keys() if key.rpartition(".")[2] == name]
