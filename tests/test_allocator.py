import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from stsm_cli import allocator
from stsm_cli.allocator import keep_freed_memory

MMAP, TRIM = -3, -1
# does a block of 64 MB get pages of its own from the system, before and after?
BLOCKS = """
import ctypes
from stsm_cli.allocator import keep_freed_memory

class Info(ctypes.Structure):
    _fields_ = [(name, ctypes.c_int) for name in ("a", "b", "c", "hblks", *"efghij")]

libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.free.argtypes, libc.mallinfo.restype = [ctypes.c_void_p], Info

def own_pages():
    before = libc.mallinfo().hblks
    block = libc.malloc(2**26)
    found = libc.mallinfo().hblks - before
    libc.free(block)
    return found

print(own_pages(), keep_freed_memory(), own_pages())
"""


@pytest.fixture
def mallopt(monkeypatch):
    """A C library that notes what it is told, and refuses sizes above `most`."""
    library = SimpleNamespace(told=[], most=2**31 - 1)

    def note(threshold, size):
        library.told.append((threshold, size))
        return int(size <= library.most)

    library.mallopt = note
    monkeypatch.delenv(allocator.SWITCH, raising=False)
    monkeypatch.setattr(allocator.ctypes, "CDLL", lambda name: library)
    monkeypatch.setattr(allocator.os, "confstr", lambda name: "glibc 2.36", raising=False)
    return library


def test_both_thresholds_are_raised(mallopt):
    assert keep_freed_memory()
    assert mallopt.told == [(MMAP, 2**31 - 1), (TRIM, 2**31 - 1)]


def test_an_older_library_gets_what_it_accepts(mallopt):
    mallopt.most = 2**25
    assert keep_freed_memory()
    assert mallopt.told[1] == (MMAP, 2**25)


def test_a_library_that_refuses_is_told_of(mallopt):
    mallopt.most = 0
    assert not keep_freed_memory()


def test_off_by_the_environment(mallopt, monkeypatch):
    monkeypatch.setenv("STSM_ALLOCATOR", "off")
    assert not keep_freed_memory()
    assert mallopt.told == []


@pytest.mark.parametrize("raised", [ValueError, AttributeError, OSError])
def test_another_c_library_is_left_alone(mallopt, monkeypatch, raised):
    def confstr(name):
        raise raised

    monkeypatch.setattr(allocator.os, "confstr", confstr, raising=False)
    assert not keep_freed_memory()
    assert mallopt.told == []


@pytest.mark.skipif(not allocator._is_glibc(), reason="needs glibc")
@pytest.mark.parametrize(("switch", "printed"), [("on", "1 True 0"), ("off", "1 False 1")])
def test_a_large_block_comes_from_what_was_freed(switch, printed):
    command, environment = [sys.executable, "-c", BLOCKS], {"STSM_ALLOCATOR": switch}
    found = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == printed


def test_importing_the_operator_changes_nothing():
    wanted = "{'stsm_cli.allocator', 'torch._dynamo', 'torchvision'}"  # nor does it take seconds
    code = f"import sys, stsm_cli.models.shift; print({wanted} & set(sys.modules))"
    command = [sys.executable, "-c", code]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"


def test_every_command_that_chooses_a_device_keeps_freed_memory():
    commands = Path(allocator.__file__).with_name("cli").glob("*.py")
    sources = [command.read_text(encoding="utf-8") for command in commands]
    runs = [source for source in sources if "choose_device(" in source]
    assert len(runs) == 6
    assert all("keep_freed_memory()" in source for source in runs)
