"""Memory of a service: of its process and of those beside it that it started."""

import psutil


def resident_bytes(pid: int) -> int:
    """Resident memory of a process and its children now; what a child shares with it counts once.

    Raises:
        psutil.NoSuchProcess: it has ended.
    """
    process = psutil.Process(pid)
    own = sum(each.memory_full_info().uss for each in process.children(recursive=True))
    return int(process.memory_info().rss + own)
