"""How much memory a process, a group of processes and the machine have, in MB."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path

__all__ = ["available_mb", "peak_mb", "reset_peak", "resident_mb"]

_CGROUPS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def _field(path: str, name: str) -> float | None:
    """A ``Name:  value kB`` line of a /proc file, in MB."""
    try:
        for line in Path(path).read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith(name + ":"):
                return int(line.split()[1]) / 1024
    except (OSError, ValueError, IndexError):
        return None
    return None


def available_mb() -> float:
    """Memory that can be taken without swapping, within the limit of a container or job."""
    free = _field("/proc/meminfo", "MemAvailable") or 4096.0
    for limit in _CGROUPS:
        try:
            free = min(free, int(Path(limit).read_text(encoding="ascii")) / 2**20)
        except (OSError, ValueError):
            continue
    return free


def resident_mb(pids: Iterable[int]) -> float:
    """Resident memory of the processes together; shared pages count for each."""
    return sum(_field(f"/proc/{pid}/status", "VmRSS") or 0.0 for pid in pids)


def reset_peak() -> None:
    """Let ``peak_mb`` count from now on; without effect where the system cannot."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return


def peak_mb() -> float:
    """Most resident memory of this process since ``reset_peak``, else since its start."""
    peak = _field(f"/proc/{os.getpid()}/status", "VmHWM")
    if peak is not None:
        return peak
    if sys.platform == "win32":
        return 0.0
    import resource

    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used / (2**20 if sys.platform == "darwin" else 1024)
