"""Number of CPU cores that there are to share out among processes and threads."""

import os


def num_cores() -> int:
    """The CPU cores this process may use: of a cluster's machine often only some."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
