"""Interrupted anywhere and resumed: the bytes of a run that nothing disturbed, or a refusal; never a mixture."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from thalweg import console, files, work
from thalweg.cli import program
from thalweg.errors import InputError, OutputExistsError
from thalweg.words import fit, solve
from thalweg.words.counts import blocks, counting
from thalweg.words.counts.table import CooccurrenceCounts

SMALL: dict[str, Any] = {"dim": 6, "min_count": 1, "window": 4, "epochs": 3, "tol": 0.0, "threads": 1, "memory": 4000}
KINDS: dict[str, dict[str, Any]] = {
    "als": {},
    "shared": {"model": "shared"},
    "adagrad": {"solver": "adagrad", "objective": "pmi"},
    "adagrad, shared": {"preset": "source", "epochs": 3},
    "glove": {"solver": "adagrad", "objective": "glove"},
}
PATCHES = """
from thalweg import files
from thalweg import work
from thalweg.words.counts import blocks, counting
counting._LEAST_HELD, work.SECONDS, blocks.FAN_IN = 500, 0.0, 3
blocks.budget = lambda *args: blocks.Budget(400, 2000, 300)
files._sync = files._sync_directory = lambda stream: None
"""


@pytest.fixture(autouse=True)
def in_small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream on disk, six blocks, two levels of merging, a checkpoint after every sweep."""
    monkeypatch.setattr(counting, "_LEAST_HELD", 500)
    monkeypatch.setattr(work, "SECONDS", 0.0)
    monkeypatch.setattr(blocks, "FAN_IN", 3)
    monkeypatch.setattr(blocks, "budget", lambda *args: blocks.Budget(400, 2000, 300))
    for seam in ("_sync", "_sync_directory"):
        monkeypatch.setattr(files, seam, lambda stream: None)


@pytest.fixture
def text(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    topic = rng.integers(0, 6, (220, 1)) * 8
    words = topic + rng.integers(0, 8, (220, 10))
    (tmp_path / "text.txt").write_text("\n".join(" ".join(f"w{k}" for k in line) for line in words))
    return tmp_path / "text.txt"


def result(out: Path) -> dict[str, bytes]:
    names = ["vectors.safetensors", "vocab.json", "word_counts.npy"]
    names += [f"counts/{name}" for name in ("indptr.npy", "indices.npy", "values.npy", "vocab.json", "word_counts.npy")]
    return {name: (out / name).read_bytes() for name in names}


def left(out: Path) -> set[str]:
    return {path.name for path in (*out.iterdir(), *(out / "counts").iterdir())} & {"parts", "checkpoint", files.LOCK}


def stopping(phase: str, n: int, stop: Callable[[], None]) -> Callable[..., None]:
    """Progress that stops at the n-th report of a phase."""
    seen = 0

    def progress(done: float, total: float | None, **numbers: Any) -> None:
        nonlocal seen
        seen += numbers["phase"] == phase
        if numbers["phase"] == phase and seen == n:
            stop()

    return progress


def interrupt() -> None:
    raise KeyboardInterrupt


# Ctrl-C


@pytest.mark.parametrize(
    ("phase", "n"),
    [
        ("reading", 1),
        ("counting", 1),
        ("counting", 3),
        ("merging", 1),
        ("merging", 2),
        ("starting", 2),
        ("solving", 1),
        ("solving", 3),
    ],
)
def test_ctrl_c_in_any_phase_and_resume_gives_the_same_bytes(text: Path, tmp_path: Path, phase: str, n: int) -> None:
    fit(text, out=tmp_path / "whole", **SMALL)
    with pytest.raises(KeyboardInterrupt):
        fit(text, out=tmp_path / "vec", progress=stopping(phase, n, interrupt), **SMALL)
    fit(text, out=tmp_path / "vec", resume=True, **SMALL)
    assert result(tmp_path / "vec") == result(tmp_path / "whole")
    assert left(tmp_path / "vec") == set()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n", [3])
def test_every_solver_goes_on_from_its_checkpoint(text: Path, tmp_path: Path, kind: str, n: int) -> None:
    """Bit for bit, and without the sweeps that were done: the first report is of the sweep that was interrupted."""
    options = SMALL | KINDS[kind]
    whole = fit(text, out=tmp_path / "whole", **options)
    with pytest.raises(KeyboardInterrupt):
        fit(text, out=tmp_path / "vec", progress=stopping("solving", n, interrupt), **options)
    reports: list[tuple[str, float]] = []
    again = fit(
        text, out=tmp_path / "vec", resume=True, progress=lambda done, total, **numbers: reports.append((numbers["phase"], done)),
        **options,
    )  # fmt: skip
    assert reports == [("solving", done) for done in range(n - 1, 4)]
    assert again.energy_path == whole.energy_path
    assert result(tmp_path / "vec") == result(tmp_path / "whole")


def test_a_second_interruption_changes_nothing_either(text: Path, tmp_path: Path) -> None:
    fit(text, out=tmp_path / "whole", **SMALL)
    for phase, n in (("counting", 2), ("counting", 1), ("merging", 1), ("starting", 3), ("solving", 2), ("solving", 1)):
        with pytest.raises(KeyboardInterrupt):
            fit(text, out=tmp_path / "vec", resume=True, progress=stopping(phase, n, interrupt), **SMALL)
    fit(text, out=tmp_path / "vec", resume=True, **SMALL)
    assert result(tmp_path / "vec") == result(tmp_path / "whole")


def test_blocks_that_are_counted_are_not_counted_again(text: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        counting.count(text, out=tmp_path / "c", min_count=1, memory=4000, progress=stopping("merging", 1, interrupt))
    phases: set[str] = set()
    counting.count(
        text, out=tmp_path / "c", min_count=1, memory=4000, resume=True,
        progress=lambda done, total, **numbers: phases.add(numbers["phase"]),
    )  # fmt: skip
    assert phases == {"merging"}


def test_another_memory_after_an_interruption_gives_the_same_bytes(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = counting.count(text, min_count=1)
    with pytest.raises(KeyboardInterrupt):
        counting.count(text, out=tmp_path / "c", min_count=1, memory=4000, progress=stopping("merging", 1, interrupt))
    monkeypatch.setattr(blocks, "budget", lambda *args: blocks.Budget(300, 2000, 100))
    found = counting.count(text, out=tmp_path / "c", min_count=1, memory=5000, resume=True)
    assert [a.tobytes() for a in (found.indptr, found.indices, found.values)] == [
        a.tobytes() for a in (expected.indptr, expected.indices, expected.values)
    ]


def test_a_damaged_stream_is_read_anew(text: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        counting.count(text, out=tmp_path / "c", min_count=1, memory=4000, progress=stopping("counting", 2, interrupt))
    stream = tmp_path / "c" / "parts" / "tokens.i32"
    stream.write_bytes(b"\x7f" * stream.stat().st_size)
    found = counting.count(text, out=tmp_path / "c", min_count=1, memory=4000, resume=True)
    assert np.array_equal(found.values, counting.count(text, min_count=1).values)


# kill -9


KILLED = (
    PATCHES
    + """
import os, signal, sys
from thalweg.words import fit
phase, n, seen = sys.argv[1], int(sys.argv[2]), 0
def progress(done, total, **numbers):
    global seen
    seen += numbers["phase"] == phase
    if numbers["phase"] == phase and seen == n:
        os.kill(os.getpid(), signal.SIGKILL)
fit("text.txt", out="vec", progress=progress, dim=6, min_count=1, window=4, epochs=3, tol=0.0, threads=1, memory=4000)
"""
)


@pytest.mark.parametrize(("phase", "n"), [("reading", 1), ("merging", 2), ("solving", 3)])
def test_kill_9_in_any_phase_and_resume_gives_the_same_bytes(text: Path, tmp_path: Path, phase: str, n: int) -> None:
    fit(text, out=tmp_path / "whole", **SMALL)
    done = subprocess.run([sys.executable, "-c", KILLED, phase, str(n)], cwd=tmp_path, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()[-500:]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        phases: list[str] = []
        fit("text.txt", out="vec", resume=True, progress=lambda d, t, **numbers: phases.append(numbers["phase"]), **SMALL)
    assert ("reading" in phases) == (phase == "reading")
    assert result(tmp_path / "vec") == result(tmp_path / "whole")
    assert left(tmp_path / "vec") == set()


def test_kill_9_is_followed_by_a_refusal_that_names_resume(text: Path, tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, "counting", "1"], cwd=tmp_path, capture_output=True)
    assert done.returncode == -signal.SIGKILL
    with pytest.raises(OutputExistsError, match=r"vec holds interrupted work: continue it with --resume \(resume=True\), or begin"):
        fit(text, out=tmp_path / "vec", **SMALL)


# Finished work


def test_resuming_finished_work_only_reads_it(text: Path, tmp_path: Path) -> None:
    first = fit(text, out=tmp_path / "vec", **SMALL)
    before = result(tmp_path / "vec")
    (tmp_path / "vec" / "checkpoint").mkdir()  # killed between the writing and the sweeping up
    (tmp_path / "vec" / "counts" / "parts").mkdir()
    reports: list[object] = []
    again = fit(text, out=tmp_path / "vec", resume=True, progress=lambda *args, **numbers: reports.append(args), **SMALL)
    assert reports == []
    assert np.array_equal(again.word, first.word)
    assert result(tmp_path / "vec") == before
    assert left(tmp_path / "vec") == set()


def test_resuming_where_nothing_is_begins(text: Path, tmp_path: Path) -> None:
    fit(text, out=tmp_path / "whole", **SMALL)
    fit(text, out=tmp_path / "vec", resume=True, **SMALL)
    assert result(tmp_path / "vec") == result(tmp_path / "whole")


# Other texts, other options


@pytest.mark.parametrize("change", [{"window": 5}, {"min_count": 2}, {"distance": "uniform"}, {"unit": "file"}, {"max_words": 20}])
def test_finished_counts_of_other_options_are_refused(text: Path, tmp_path: Path, change: dict[str, Any]) -> None:
    fit(text, out=tmp_path / "vec", **SMALL)
    before = result(tmp_path / "vec")
    with pytest.raises(
        OutputExistsError, match="counts of other texts or options: nothing to resume; replace them with --overwrite"
    ):
        fit(text, out=tmp_path / "vec", resume=True, **(SMALL | change))
    assert result(tmp_path / "vec") == before


@pytest.mark.parametrize("change", ["longer", "touched", "another file"])
def test_finished_counts_of_another_text_are_refused(text: Path, tmp_path: Path, change: str) -> None:
    fit(text, out=tmp_path / "vec", **SMALL)
    if change == "longer":
        text.write_text(text.read_text() + "\nw1 w2")
    elif change == "touched":
        os.utime(text, (time.time() + 5, time.time() + 5))
    else:
        text = text.rename(tmp_path / "other.txt")
    with pytest.raises(OutputExistsError, match="counts of other texts or options"):
        fit(text, out=tmp_path / "vec", resume=True, **SMALL)


@pytest.mark.parametrize("phase", ["counting", "merging"])
def test_an_interrupted_count_of_another_text_begins_anew(text: Path, tmp_path: Path, phase: str) -> None:
    """Nothing of the old text is in the new counts."""
    with pytest.raises(KeyboardInterrupt):
        fit(text, out=tmp_path / "vec", progress=stopping(phase, 2, interrupt), **SMALL)
    text.write_text("\n".join(reversed(text.read_text().replace("w3", "w4").splitlines())))
    fit(text, out=tmp_path / "whole", **SMALL)
    fit(text, out=tmp_path / "vec", resume=True, **SMALL)
    assert result(tmp_path / "vec") == result(tmp_path / "whole")


@pytest.mark.parametrize("change", [{"seed": 1}, {"dim": 5}, {"rho": 0.5}, {"model": "shared"}, {"epochs": 2}])
def test_a_checkpoint_of_other_options_is_not_used(text: Path, tmp_path: Path, change: dict[str, Any]) -> None:
    """The counts are kept, which these options do not touch; the solving begins anew."""
    with pytest.raises(KeyboardInterrupt):
        fit(text, out=tmp_path / "vec", progress=stopping("solving", 3, interrupt), **SMALL)
    fit(text, out=tmp_path / "whole", **(SMALL | change))
    fit(text, out=tmp_path / "vec", resume=True, **(SMALL | change))
    assert result(tmp_path / "vec") == result(tmp_path / "whole")


def test_a_checkpoint_of_other_counts_is_not_used(tmp_path: Path) -> None:
    """Same totals, words changed about: without a fingerprint of the text it is the table that tells them apart."""
    one = counting.count([["a", "b", "c", "a", "c"]] * 9, min_count=1, window=2)
    two = counting.count([["b", "a", "c", "b", "c"]] * 9, min_count=1, window=2)
    assert (one.total_tokens, one.total_pairs) == (two.total_tokens, two.total_pairs)
    with pytest.raises(KeyboardInterrupt):
        solve(one, dim=2, tol=0.0, out=tmp_path / "vec", progress=stopping("solving", 3, interrupt))
    found = solve(two, dim=2, tol=0.0, out=tmp_path / "vec", resume=True)
    assert found.words == two.words
    assert np.array_equal(found.word, solve(two, dim=2, tol=0.0).word)


def test_an_overwriting_that_was_interrupted_can_be_resumed(text: Path, tmp_path: Path) -> None:
    """The old counts stand until the new ones are whole; they are not what is to be resumed."""
    fit(text, out=tmp_path / "whole", **(SMALL | {"window": 3}))
    fit(text, out=tmp_path / "vec", **SMALL)
    before = result(tmp_path / "vec")
    with pytest.raises(KeyboardInterrupt):
        fit(
            text, out=tmp_path / "vec", overwrite=True, progress=stopping("counting", 2, interrupt), **(SMALL | {"window": 3})
        )  # fmt: skip
    assert result(tmp_path / "vec") == before
    fit(text, out=tmp_path / "vec", resume=True, **(SMALL | {"window": 3}))
    assert result(tmp_path / "vec") == result(tmp_path / "whole")


# What cannot be resumed


def test_a_corpus_that_is_read_once_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for corpus in ([["a", "b"]] * 9, (line for line in ["a b"] * 9)):
        with pytest.raises(InputError, match=r"can be read once only .* nothing to resume"):
            fit(corpus, out=tmp_path / "vec", resume=True, **SMALL)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"a b c\n" * 99)))
    with pytest.raises(InputError, match="can be read once only"):
        counting.count(Path("-"), out=tmp_path / "vec", resume=True)
    assert not (tmp_path / "vec").exists()


def test_memory_and_resume_need_a_place_on_disk(text: Path) -> None:
    for function in (fit, counting.count):
        for options in ({"resume": True}, {"memory": 1 << 30}):
            with pytest.raises(InputError, match="give out= as well"):
                function(text, **options)
    with pytest.raises(InputError, match="give out= as well"):
        solve(counting.count([["a", "b"]] * 9), resume=True)


def test_a_strangers_folder_is_not_resumed_into(text: Path, tmp_path: Path) -> None:
    """Once `resume` marked it as ours and wrote among its files."""
    (tmp_path / "photos" / "empty").mkdir(parents=True)
    (tmp_path / "photos" / "cat.jpg").write_bytes(b"x")
    counts = counting.count([["a", "b", "c"]] * 9)
    for make in (
        lambda out: fit(text, out=out, resume=True, **SMALL),
        lambda out: counting.count(text, out=out, resume=True),
        lambda out: solve(counts, out=out, resume=True),
    ):
        with pytest.raises(OutputExistsError, match=r"photos is not empty and holds files that thalweg did not write"):
            make(tmp_path / "photos")
    assert {path.name for path in (tmp_path / "photos").iterdir()} == {"empty", "cat.jpg"}


def test_a_finished_result_of_another_kind_is_not_resumed_into(text: Path, tmp_path: Path) -> None:
    counting.count(text, out=tmp_path / "counts", min_count=1)
    fit(text, out=tmp_path / "vec", **SMALL)
    with pytest.raises(OutputExistsError, match="holds 'thalweg-counts' and no interrupted work that could be resumed"):
        fit(text, out=tmp_path / "counts", resume=True, **SMALL)
    with pytest.raises(OutputExistsError, match="holds 'thalweg-words' and no interrupted work"):
        counting.count(text, out=tmp_path / "vec", resume=True)
    CooccurrenceCounts.open(tmp_path / "counts")


# The command line


def test_the_command_line_ends_with_130_says_what_is_kept_and_resumes(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(*args: object) -> Any:
        return CliRunner().invoke(program, [str(arg) for arg in ("words", *args)])

    common = ("--min-count", 1, "--window", 4, "--memory", 4000)
    assert run("count", text, "--out", tmp_path / "c1", *common).exit_code == 0
    assert run("solve", tmp_path / "c1", "--out", tmp_path / "v1", "--dim", 6).exit_code == 0
    for phase, n, verb, source, out, args in (
        ("merging", 1, "count", text, tmp_path / "c2", common),
        ("solving", 2, "solve", tmp_path / "c1", tmp_path / "v2", ("--dim", 6)),
    ):
        with monkeypatch.context() as patch:
            stop = stopping(phase, n, interrupt)
            patch.setattr(console._Lines, "__call__", lambda self, *a, stop=stop, **k: stop(*a, **k))
            stopped = run(verb, source, "--out", out, *args)
        assert stopped.exit_code == 130, stopped.stderr
        kept = f"What is done is kept in {out}: continue with the same command and --resume."
        assert stopped.stderr.splitlines()[-2:] == [kept, "Interrupted."]
        assert run(verb, source, "--out", out, *args).exit_code == 1  # neither --resume nor --overwrite
        assert run(verb, source, "--out", out, *args, "--resume").exit_code == 0
    assert (tmp_path / "v2" / "vectors.safetensors").read_bytes() == (tmp_path / "v1" / "vectors.safetensors").read_bytes()
    assert (tmp_path / "c2" / "values.npy").read_bytes() == (tmp_path / "c1" / "values.npy").read_bytes()


def test_the_command_says_that_there_was_nothing_to_resume(text: Path, tmp_path: Path) -> None:
    """Once it said "0.3 s (of these reading and counting 20 s)": the seconds of the fit that had been."""

    def run(*args: object) -> Any:
        return CliRunner().invoke(
            program, ["words", "fit", str(text), "--out", str(tmp_path / "v"), "--min-count", "1", *map(str, args)]
        )

    first = run("--dim", 6)
    assert "(of these reading and counting" in first.stdout
    again = run("--dim", 6, "--resume")
    assert again.exit_code == 0, again.stderr
    assert "was finished before: there was nothing to resume" in again.stderr
    assert "of these" not in again.stdout
    assert ", when they were made" in again.stdout
    assert "nothing to resume" not in run("--dim", 6, "--overwrite").stderr
