"""The Triton back end, as far as a machine without a GPU can tell: its text, its interpreter, its compiler."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from thalweg import optim
from thalweg.optim.backends import triton

KINDS = [("float32", "float32"), ("float64", "float64"), ("bfloat16", "float32"), ("float16", "float32")]
NAMES = [name for name in optim.RULES if triton.supports(optim.get(name)().program())]


def test_rules_of_elements_are_supported_and_those_with_sums_are_not() -> None:
    assert set(optim.RULES) - set(NAMES) == {"lars", "lamb"}


@pytest.mark.parametrize("name", NAMES)
def test_the_text_reads_every_array_once_and_writes_what_changes(name: str) -> None:
    program = optim.get(name)().program()
    text = triton.source(
        program, dict.fromkeys(program.arrays, "float32"), {place: k for k, place in enumerate(program.constants(0))}
    )
    ast.parse(text)
    read = [array for array in program.arrays if program.inputs.get(array) in program.kernel(0)]
    assert [text.count(f"tl.load({array.replace('.', '_')}_at + i") for array in read] == [1] * len(read)
    assert text.count("tl.store(") == len(program.outputs)


def test_the_interpreter_agrees_with_the_compiled_kernel() -> None:
    pytest.importorskip("triton", reason="triton is not installed (it comes with GPU builds of torch)")
    checks = Path(__file__).with_name("triton_checks.py")
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist", str(checks)]
    done = subprocess.run(command, env=os.environ | {"TRITON_INTERPRET": "1"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-6000:]


@pytest.mark.parametrize("kinds", KINDS, ids=lambda kinds: kinds[0])
def test_it_compiles_for_compute_capability_90(kinds: tuple[str, str]) -> None:
    compiler = pytest.importorskip("triton.compiler", reason="triton is not installed (it comes with GPU builds of torch)")
    from triton.backends.compiler import GPUTarget

    for name in ("adam", "nadam", "lion", "rprop"):
        kernel, _ = triton.build(optim.get(name)().program(), *kinds)
        signature = {
            "addresses": "*i64",
            "chunks": "*i64",
            "rows": "*i64",
            "constants": "*fp64",
            "n_tensors": "i32",
            "BLOCK": "constexpr",
        }
        text = compiler.ASTSource(fn=kernel, signature=signature, constexprs={"BLOCK": triton.BLOCK})
        made = compiler.compile(text, target=GPUTarget("cuda", 90, 32), options={"enable_fp_fusion": False})
        assert len(made.asm["cubin"]) > 0
