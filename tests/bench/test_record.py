import json
from dataclasses import replace

import pytest
import torch

from stsm_cli.bench import record
from stsm_cli.bench.page import render
from stsm_cli.bench.record import Begun, Table, read_all, save
from stsm_cli.errors import DataError, StsmError

CPU = torch.device("cpu")


def measured(ms=12.3456, *, decoder="pyav", keeps_memory=True, **settings):
    begun = Begun("shift", CPU, decoder, rounds=3, is_cpu_time=False, keeps_memory=keeps_memory)
    table = Table("forward", {"TSN": {"ms": ms, "ratio": 1.0}, "STSM": {"ms": 2 * ms}})
    return begun.measured([table], settings, ["a note"])


def test_a_file_says_on_what_and_when(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["stsm", "bench"])
    path = save(tmp_path, measured())
    kept = json.loads(path.read_text())
    assert kept["schema"] == "stsm.bench/1"
    assert kept["machine"]["device"] == "cpu"
    assert kept["machine"]["cores"] >= 1
    assert kept["threads"] == torch.get_num_threads()
    assert kept["packages"]["torch"]
    assert (kept["rounds"], kept["clock"], kept["notes"]) == (3, "wall", ["a note"])
    assert kept["load_average"] >= 0
    assert kept["command"].startswith("stsm ")
    assert kept["date"][:2] == "20"
    assert set(kept["units"]) == {"ms", "ratio"}
    assert kept["tables"][0]["rows"]["TSN"] == {"ms": 12.35, "ratio": 1.0}
    assert read_all(tmp_path) == [measured_as(kept)]


def measured_as(kept):
    return record.Measurement(
        **{
            **kept,
            "machine": record.Hardware(**kept["machine"]),
            "tables": tuple(Table(**table) for table in kept["tables"]),
            "notes": tuple(kept["notes"]),
        }
    )


def test_the_last_of_a_kind_replaces_the_one_before(tmp_path):
    save(tmp_path, measured(1.0))
    save(tmp_path, measured(2.0))
    save(tmp_path, measured(3.0, compiled=True))
    times = [m.tables[0].rows["TSN"]["ms"] for m in read_all(tmp_path)]
    assert sorted(times) == [2.0, 3.0]


def test_a_whole_one_stays_until_the_next_is_whole(tmp_path):
    part, later = measured(1.0), measured(2.0)
    whole = replace(part, tables=(*part.tables, Table("memory", part.tables[0].rows)))
    save(tmp_path, whole)
    path = save(tmp_path, later, is_whole=False)
    assert read_all(tmp_path) == [whole]
    both = replace(later, tables=(*later.tables, whole.tables[1]))
    assert save(tmp_path, both, is_whole=False) == path
    assert read_all(tmp_path) == [both]
    of_other_code = replace(later, code="0" * 12)
    save(tmp_path, of_other_code, is_whole=False)
    assert read_all(tmp_path) == [of_other_code]
    save(tmp_path, both)
    save(tmp_path, later)
    assert read_all(tmp_path) == [later]
    path.write_text("damaged")
    save(tmp_path, later, is_whole=False)
    assert read_all(tmp_path) == [later]


def test_another_allocator_or_decoder_is_another_kind_and_is_told(tmp_path):
    save(tmp_path, measured())
    save(tmp_path, measured(keeps_memory=False))
    save(tmp_path, measured(decoder="decord"))
    told = [m.notes[1:] for m in read_all(tmp_path)]
    assert sorted(told) == [(), ("allocator: the C library's, as it is",), ("decoder: decord",)]


def test_a_file_that_is_no_measurement_is_named(tmp_path):
    (tmp_path / "shift-x.json").write_text('{"schema": "stsm.bench/1"}')
    with pytest.raises(DataError, match=r"shift-x\.json: not a measurement of `stsm bench`: "):
        read_all(tmp_path)


def test_a_folder_that_takes_no_file_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StsmError, match=r"file/x/shift.*json: cannot be written \(Not a dir"):
        save(tmp_path / "file" / "x", measured())


def test_the_page_shows_figures_of_the_present_code_only(monkeypatch):
    found = measured()
    page = render([found])
    assert "## " in page
    assert "| TSN | 12.3 | 1.000 |\n| STSM | 24.7 | - |" in page
    assert f"`{found.command}`, {found.date[:10]}, commit " in page
    assert "a note.\n" in page
    monkeypatch.setattr("stsm_cli.bench.page.code_hash", lambda benchmark: "other")
    page = render([found])
    assert f"not measured since {found.commit or found.date[:10]}; the code has changed" in page
    assert "12.3" not in page


def test_a_machine_has_one_heading_whatever_its_number_of_cores(tmp_path):
    one = measured()
    for cores in (2, 1):
        for benchmark in ("train", "shift"):
            machine = replace(one.machine, cores=cores)
            save(tmp_path, replace(one, benchmark=benchmark, machine=machine))
    found = read_all(tmp_path)
    assert [(m.machine.cores, m.benchmark) for m in found] == [
        *((1, "shift"), (1, "train"), (2, "shift"), (2, "train"))
    ]
    assert render(found).count("\n## ") == 2


def test_cpus_of_one_name_and_other_vectors_are_two_machines(tmp_path):
    one = measured()
    for capability in ("AVX2", None, "AVX512"):
        machine = replace(one.machine, cpu="Some CPU", cores=2, cpu_capability=capability)
        save(tmp_path, replace(one, machine=machine))
    page = render(read_all(tmp_path))
    assert [line for line in page.splitlines() if line.startswith("## ")] == [
        "## Some CPU with AVX2, 2 cores",
        "## Some CPU with AVX512, 2 cores",
        "## Some CPU, 2 cores",
    ]
