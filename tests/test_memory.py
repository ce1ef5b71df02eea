import pytest

from stsm_cli.memory import available_memory

MEMINFO = "MemTotal: 9000 kB\nMemFree: 10 kB\nMemAvailable: 4000 kB\n"
FREE = 4000 * 1024


@pytest.fixture
def system(tmp_path):
    """Writes files below a folder that stands for `/`; gives that folder."""

    def write(**files):
        for name, text in {"proc/meminfo": MEMINFO, **files}.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        return tmp_path

    return write


def group(folder, limit, used, cached, names=("memory.max", "memory.current")):
    files = {names[0]: limit, names[1]: used, "memory.stat": f"anon 5\ninactive_file {cached}"}
    return {f"sys/fs/cgroup/{folder}{name}": f"{text}\n" for name, text in files.items()}


def test_without_groups_the_machine_decides(system):
    assert available_memory(system()) == FREE


def test_files_that_can_be_given_up_do_not_count_as_used(system):
    files = group("job/", 1_000_000, 900_000, 300_000)
    assert available_memory(system(**{"proc/self/cgroup": "0::/job\n"}, **files)) == 400_000


def test_the_narrowest_of_nested_groups_decides(system):
    files = group("a/", 500_000, 400_000, 0) | group("a/b/", 900_000, 0, 0)
    files |= group("", "max", 0, 0)
    assert available_memory(system(**{"proc/self/cgroup": "0::/a/b\n"}, **files)) == 100_000


def test_a_group_that_allows_more_than_the_machine_has(system):
    files = group("", "max", 0, 0) | group("a/", 10**12, 0, 0)
    assert available_memory(system(**{"proc/self/cgroup": "0::/a\n"}, **files)) == FREE


def test_a_group_that_is_full_leaves_nothing(system):
    files = group("", 500, 600, 0)
    assert available_memory(system(**{"proc/self/cgroup": "0::/\n"}, **files)) == 0


@pytest.mark.parametrize(("limit", "left"), [(700_000, 600_000), (2**63 - 4096, FREE)])
def test_groups_of_the_first_version(system, limit, left):
    names = ("memory.limit_in_bytes", "memory.usage_in_bytes")
    files = group("memory/", limit, 100_000, 0, names)
    lines = "5:cpu,cpuacct:/x\n4:memory:/docker/x\n"  # whose folder a container does not see
    assert available_memory(system(**{"proc/self/cgroup": lines}, **files)) == left


def test_a_system_that_does_not_tell(tmp_path):
    assert available_memory(tmp_path) is None


def test_a_system_that_does_not_tell_what_is_left_is_not_asked_further(system):
    assert available_memory(system(**{"proc/meminfo": "MemTotal: 9000 kB\n"})) is None
