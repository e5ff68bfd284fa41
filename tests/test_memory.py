"""How much memory is free, by what the system and the container say."""

from __future__ import annotations

from pathlib import Path

import pytest

from thalweg import memory


def system(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


FREE = {"proc/meminfo": "MemTotal: 8000 kB\nMemAvailable:    4000 kB\nSwapFree: 0 kB\n"}
V2 = "sys/fs/cgroup/memory."
V1 = "sys/fs/cgroup/memory/memory."


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, 4 << 30),
        (FREE, 4000 << 10),
        (FREE | {f"{V2}max": "max\n", f"{V2}current": "100\n"}, 4000 << 10),
        (FREE | {f"{V2}max": "1000000\n", f"{V2}current": "400000\n"}, 600_000),
        (FREE | {f"{V2}max": "9000000\n", f"{V2}current": "400000\n"}, 4000 << 10),
        (FREE | {f"{V2}max": "100\n", f"{V2}current": "400\n"}, 0),
        (FREE | {f"{V1}limit_in_bytes": "1000000\n", f"{V1}usage_in_bytes": "100000\n"}, 900_000),
        (FREE | {f"{V1}limit_in_bytes": f"{2**63 - 4096}\n", f"{V1}usage_in_bytes": "100000\n"}, 4000 << 10),
        ({"proc/meminfo": "nonsense\n", f"{V2}max": "x", f"{V2}current": ""}, 4 << 30),
        ({"proc/meminfo": "MemAvailable:\n"}, 4 << 30),
    ],
)
def test_free_memory_is_what_the_system_has_within_the_containers_limit(
    tmp_path: Path, files: dict[str, str], expected: int
) -> None:
    assert memory.available(system(tmp_path, files)) == expected


@pytest.mark.parametrize(
    ("prefix", "names", "key"),
    [(V2, ("max", "current"), "inactive_file"), (V1, ("limit_in_bytes", "usage_in_bytes"), "total_inactive_file")],
)
def test_files_that_the_system_remembers_do_not_count_as_taken(
    tmp_path: Path, prefix: str, names: tuple[str, str], key: str
) -> None:
    """A container that has read a large corpus is charged with it, and seemed to be full."""
    facts = {f"{prefix}{names[0]}": "1000000", f"{prefix}{names[1]}": "990000", f"{prefix}stat": f"anon 5\n{key} 700000\nodd\n"}
    assert memory.available(system(tmp_path, FREE | facts)) == 710_000


def test_here_there_is_some() -> None:
    assert 0 <= memory.available() < 1 << 50
