import os

from stsm_cli.cores import cpu_name, num_cores, with_vectors


def test_cores_that_may_not_be_used_do_not_count(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 5, 7}, raising=False)
    assert num_cores() == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    assert num_cores() == os.cpu_count()


def test_a_processor_is_told_with_its_vectors():
    assert with_vectors("Some CPU 3", "AVX2") == "Some CPU 3 with AVX2"
    assert with_vectors("Some CPU 3", None) == "Some CPU 3"


def test_a_processor_has_a_name(tmp_path):
    (tmp_path / "proc").mkdir()
    file = tmp_path / "proc" / "cpuinfo"
    file.write_text("processor : 0\nmodel name\t: Some CPU 3\nmodel name\t: Some CPU 3\n")
    assert cpu_name(tmp_path) == "Some CPU 3"
    file.write_text("processor : 0\n")
    assert cpu_name(tmp_path)
    file.unlink()
    assert cpu_name(tmp_path)
