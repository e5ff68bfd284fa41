"""Set up .venv for `make`: python scripts/bootstrap.py setup|test|docs|bench

Runs on a bare Python >= 3.11 with venv and pip; standard library only. What it decides:
- uv is fetched into .venv because it installs everything in seconds; where it cannot be had or fails (a mirror that only pip
  knows, an odd CPU, a read-only cache), pip does the same work with the same constraints.
- torch is always installed by pip, which honours the user's configuration (mirrors, local wheels); on a Linux machine without
  an NVIDIA driver PyTorch's CPU index is offered for that one package, because the default wheel brings about 4 GB of CUDA.
- a stamp named after the hash of what decides the environment makes the next `make` start at once.
"""

import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
UV = PYTHON.with_name("uv")
CONSTRAINTS = ROOT / "constraints.txt"
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
PROFILES = {  # profile -> the package's extra, and dependency groups on top of it
    "setup": ("torch", []),
    "test": ("all", ["test", "lint"]),
    "docs": ("all", ["docs"]),
    "bench": ("all", ["bench"]),
}


def run(*command: object, quiet: bool = False) -> bool:
    sink = subprocess.DEVNULL if quiet else None
    try:
        return subprocess.run([str(part) for part in command], cwd=ROOT, stdout=sink, stderr=sink).returncode == 0
    except OSError:  # the program does not exist or does not run on this machine
        return False


def say(text: str) -> None:
    print(f"setup: {text}", file=sys.stderr, flush=True)


def stamp(profile: str) -> Path:
    decides = hashlib.sha256(sys.version.encode())
    for path in (ROOT / "pyproject.toml", CONSTRAINTS, Path(__file__)):
        decides.update(path.read_bytes())
    return VENV / f".ready-{profile}-{decides.hexdigest()[:12]}"


def pinned_torch() -> str:
    return next(line.split(";")[0].strip() for line in CONSTRAINTS.read_text().splitlines() if line.startswith("torch=="))


def torch_arguments(pin: str) -> list[str]:
    """Extra arguments for `pip install torch`: PyTorch's CPU index only where the plain wheel would bring CUDA for nothing."""
    plain_is_fine = (
        os.environ.get("THALWEG_TORCH") == "any"
        or platform.system() != "Linux"
        or platform.machine() != "x86_64"
        or (shutil.which("nvidia-smi") and run("nvidia-smi", quiet=True))
    )
    if plain_is_fine:
        return []
    report = subprocess.run(
        [str(PYTHON), "-m", "pip", "install", "--dry-run", "--no-deps", "--quiet", "--report", "-", pin],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if report.returncode == 0 and json.loads(report.stdout)["install"][0]["metadata"]["version"].endswith("+cpu"):
        return []  # the user's own configuration already offers a CPU wheel
    return ["--extra-index-url", CPU_INDEX, "--timeout", "20", "--retries", "1"]


def install_torch() -> None:
    if run(PYTHON, "-c", "import importlib.metadata as m; m.version('torch')", quiet=True):
        return
    pin = pinned_torch()
    pip = [PYTHON, "-m", "pip", "install", "--quiet", "--no-deps", "--no-compile", "--disable-pip-version-check"]
    extra = torch_arguments(pin)
    target = f"{pin}+cpu" if extra else pin
    say(f"installing {target} with pip")
    if run(*pip, *extra, target):
        return
    if extra:
        say("PyTorch's CPU index did not answer: installing the default build, which brings about 4 GB of CUDA libraries")
        if run(*pip, pin):
            return
    sys.exit("setup: pip could not install torch; see the lines above")


def install(extra: str, groups: list[str]) -> None:
    """The package itself (editable) with an extra, and the dependency groups: by uv, else by pip."""
    # An index that only pip is told of (PIP_INDEX_URL) is unknown to uv: then uv fails or lacks packages, and pip takes over.
    wanted = ["-c", CONSTRAINTS, "-e", f".[{extra}]", *requirements(groups)]
    if not UV.exists():
        say("fetching uv")
        if not run(PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "uv", quiet=True):
            say("uv cannot be had here; pip does the work, which takes a minute longer")
    say(f"installing thalweg{' and its ' + ', '.join(groups) + ' tools' if groups else ''}")
    if UV.exists():
        uv = [UV, "pip", "install", "--quiet", "--python", PYTHON]
        if run(*uv, *wanted, quiet=True) or run(*uv, "--no-cache", *wanted):
            return
        say("uv failed (its lines stand above); trying pip")
    if not run(PYTHON, "-m", "pip", "install", "--quiet", "--no-compile", "--disable-pip-version-check", *wanted):
        sys.exit("setup: pip could not install the packages; see the lines above")


def requirements(groups: list[str]) -> list[str]:
    """The requirements of dependency groups (PEP 735): read here because older pips do not know them."""
    import tomllib

    table = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["dependency-groups"]
    return [requirement for group in groups for requirement in table[group]]


def main() -> None:
    profile = sys.argv[1] if len(sys.argv) > 1 else "setup"
    if profile not in PROFILES:
        sys.exit(f"setup: no profile {profile!r}; there are {', '.join(PROFILES)}")
    if sys.version_info < (3, 11):  # noqa: UP036 - an old Python gets here first
        sys.exit(f"setup: Python {platform.python_version()} is too old; thalweg needs 3.11 or newer (make PYTHON=python3.12 ...)")
    ready = stamp(profile)
    if ready.exists():
        return
    began = time.monotonic()
    if not run(PYTHON, "-c", "import pip", quiet=True):
        say("making .venv")
        if not run(sys.executable, "-m", "venv", "--clear", VENV):
            sys.exit("setup: python3 -m venv failed (on Debian and Ubuntu: apt-get install python3-venv)")
    install_torch()
    install(*PROFILES[profile])
    for old in VENV.glob(f".ready-{profile}-*"):
        old.unlink()
    ready.touch()
    say(f"done in {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
