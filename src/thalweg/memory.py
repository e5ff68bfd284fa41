"""How much memory there is for us."""

from __future__ import annotations

import contextlib
from pathlib import Path


def available(root: Path = Path("/")) -> int:
    """Bytes that can be taken without pushing others out: what the system has left, within a container's limit."""
    free = 4 << 30  # where nothing can be found out
    with contextlib.suppress(OSError, ValueError, IndexError, StopIteration):
        line = next(line for line in (root / "proc/meminfo").read_text().splitlines() if line.startswith("MemAvailable:"))
        free = int(line.split()[1]) << 10
    for limit, used in (("memory.max", "memory.current"), ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes")):
        with contextlib.suppress(OSError, ValueError):
            group = root / "sys/fs/cgroup"
            taken = int((group / used).read_text()) - _cached(group / Path(used).parent)
            free = min(free, int((group / limit).read_text()) - taken)
    return max(free, 0)


def _cached(group: Path) -> int:
    """Bytes that a container is charged with for files, and that are given back when they are needed."""
    with contextlib.suppress(OSError, ValueError):
        lines = [line.split() for line in (group / "memory.stat").read_text().splitlines()]
        facts = {line[0]: int(line[1]) for line in lines if len(line) == 2}
        return facts.get("total_inactive_file", facts.get("inactive_file", 0))
    return 0
