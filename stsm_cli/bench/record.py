"""What a benchmark found, and on what: kept as JSON, the newest of each kind on each machine."""

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import astuple
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import torch
from pydantic import Field, NonNegativeFloat, PositiveInt
from pydantic.dataclasses import dataclass
from pydantic_core import to_json

from stsm_cli.atomic import write_file
from stsm_cli.bench.measured_code import MEASURED_CODE, Benchmark, code_hash
from stsm_cli.cores import num_cores
from stsm_cli.engine.identity import describe_environment
from stsm_cli.errors import DataError
from stsm_cli.stored import STRICT, read_stored


class Unit(NamedTuple):
    """What a number of a table is.

    Attributes:
        head: Of its column.
        says: In words.
        digits: Shown behind the point.
    """

    head: str
    says: str
    digits: int


UNITS = {
    "ms": Unit("ms", "milliseconds, the median", 1),
    "ratio": Unit("ratio", "time to the first row's of the same kind, median over the rounds", 3),
    "ratio_first": Unit("to first row", "time to the first row's, median over the rounds", 3),
    "share": Unit("% of forward", "time in percent of TSN's forward", 2),
    "clips_per_second": Unit("clips/s", "training clips a second", 2),
    "speedup": Unit("× last row", "clips a second to the last row's", 2),
    "waiting": Unit("% waiting", "of the time, in percent, spent waiting for data", 1),
    "mb": Unit("MB", "10^6 bytes that tensors of a step hold at its peak, parameters aside", 1),
    "mb_ratio": Unit("MB ratio", "memory to the first row's", 3),
    "mb_kept": Unit("MB kept", "10^6 bytes that are kept from frame to frame", 3),
    "hours_k400": Unit("h K400", "hours for the recipe's epochs of Kinetics-400", 1),
    "hours_sthv2": Unit("h STHV2", "hours for as many of Something-Something V2", 1),
}


@dataclass(frozen=True, config=STRICT)
class Table:
    """Figures that compare: rows by their names, numbers by their keys in `UNITS`."""

    title: str
    rows: dict[str, dict[str, NonNegativeFloat]]


@dataclass(frozen=True, config=STRICT)
class Hardware:
    """A machine."""

    device: str
    """`cpu`, or the GPU's name."""
    cpu: str
    cores: PositiveInt
    cpu_capability: str | None = None
    """Vector instructions that PyTorch uses; None in figures from before it was kept."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Measurement:
    """A file of figures, of the schema `stsm.bench/1`."""

    schema: Literal["stsm.bench/1"] = "stsm.bench/1"
    benchmark: Benchmark
    settings: dict[str, Any]
    """Options that say what was measured."""
    command: str
    date: Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT")]
    """When it began, UTC."""
    commit: str | None
    code: str
    """Hash of the code that was measured."""
    machine: Hardware
    stsm: str
    python: str
    packages: dict[str, str]
    threads: PositiveInt
    load_average: NonNegativeFloat | None
    """Of the last minute before it began; None where the system has none."""
    clock: Literal["wall", "cpu"]
    rounds: PositiveInt
    units: dict[str, str]
    tables: tuple[Table, ...]
    notes: tuple[str, ...]

    @property
    def file_name(self) -> str:
        """The same for what a later run on this machine replaces."""
        what = json.dumps([self.settings, self.clock, self.threads], sort_keys=True)
        where = re.sub(r"[^a-z0-9]+", "-", self.machine.device.lower()).strip("-")
        known_by = hashlib.sha256(f"{what}{self.machine}".encode()).hexdigest()[:8]
        return f"{self.benchmark}-{where}-{known_by}.json"


class Begun:
    """A benchmark that begins now: what is known before the machine is put to work.

    Args:
        benchmark: Which.
        device: Where it runs.
        decoder: Which library decodes.
        rounds: Turns of each variant.
        is_cpu_time: CPU time is counted.
        keeps_memory: The C library's allocator keeps freed memory (`allocator.py`).
    """

    def __init__(
        self,
        benchmark: Benchmark,
        device: torch.device,
        decoder: str,
        *,
        rounds: int,
        is_cpu_time: bool,
        keeps_memory: bool,
    ) -> None:
        about = describe_environment(device, decoder)
        load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
        # only what is unusual is a setting, for these name the file
        self._unusual = {} if keeps_memory else {"allocator": "the C library's, as it is"}
        self._unusual |= {} if decoder == "pyav" else {"decoder": decoder}
        keys = ("command", "commit", "stsm", "python", "packages", "threads")
        self._known: dict[str, Any] = {key: about[key] for key in keys} | {
            "benchmark": benchmark,
            "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "code": code_hash(benchmark),
            "machine": Hardware(
                about["device"], about["cpu"], num_cores(), about["cpu_capability"]
            ),
            "load_average": None if load is None else round(load, 2),
            "clock": "cpu" if is_cpu_time else "wall",
            "rounds": rounds,
        }

    def measured(
        self, tables: Sequence[Table], settings: Mapping[str, Any], notes: Sequence[str]
    ) -> Measurement:
        """Figures, and what they were measured on."""
        used = {key for table in tables for row in table.rows.values() for key in row}
        return Measurement(
            **self._known,
            settings=dict(settings) | self._unusual,
            units={key: unit.says for key, unit in UNITS.items() if key in used},
            tables=tuple(map(_rounded, tables)),
            notes=(*notes, *(f"{key}: {value}" for key, value in self._unusual.items())),
        )


def _rounded(table: Table) -> Table:
    """The table to a digit more than is shown."""
    rows = {
        name: {key: round(value, UNITS[key].digits + 1) for key, value in row.items()}
        for name, row in table.rows.items()
    }
    return Table(table.title, rows)


def save(folder: Path, measured: Measurement, *, is_whole: bool = True) -> Path:
    """Keep what was measured, in place of what was before with the same settings and machine.

    One of the same code with more tables stays until what is measured now is whole.

    Raises:
        StsmError: The folder cannot be written.
    """
    path = folder / measured.file_name
    if is_whole or not _says_more(path, measured):
        write_file(path, to_json(measured, indent=1) + b"\n")
    return path


def _says_more(path: Path, measured: Measurement) -> bool:
    with suppress(DataError):  # what is not readable says nothing
        before = _read(path)
        return before.code == measured.code and len(before.tables) > len(measured.tables)
    return False


def read_all(folder: Path) -> list[Measurement]:
    """All that is kept in a folder, by benchmark, machine and settings.

    Raises:
        DataError: A file is no measurement.
    """
    found = [_read(path) for path in sorted(folder.glob("*.json"))]
    order = list(MEASURED_CODE)
    return sorted(found, key=lambda m: (*map(str, astuple(m.machine)), order.index(m.benchmark)))


def _read(path: Path) -> Measurement:
    return read_stored(path, Measurement, "a measurement of `stsm bench`", DataError)[0]
