"""ONNX's packages, which are optional, and a session that runs a file on the CPU."""

import os
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

from stsm_cli.errors import UsageError

WRITERS = ("onnx", "onnxscript", "onnxruntime")
RUNNERS = ("onnxruntime",)
TELEMETRY_OFF = "ORT_DISABLE_TELEMETRY"
"""Of ONNX Runtime, which would report of its use, and complain where HOME cannot be written."""


def require_onnx(packages: Sequence[str]) -> None:
    """Make sure that the packages are there; told before torch is imported.

    Raises:
        UsageError: One is not installed.
    """
    missing = [package for package in packages if find_spec(package) is None]
    if missing:
        raise UsageError(
            f"ONNX: the package {missing[0]} is not installed", hint="pip install 'stsm[export]'"
        )


def open_session(model: bytes | str, threads: int) -> Any:  # noqa: ANN401  # it has no types
    """A session of ONNX Runtime on the CPU.

    Args:
        model: A file's content, or its path.
        threads: How many it may compute with.

    Raises:
        Exception: Of ONNX Runtime's own kinds: it is no such file.
    """
    os.environ.setdefault(TELEMETRY_OFF, "1")  # before it is imported
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # errors only
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
