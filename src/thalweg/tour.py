"""`thalweg tour`: the main jobs of all parts, run here and now, on one self-contained page.

A section is a function `section(locale=..., ...) -> Section`, entered in SECTIONS. Each runs in a process of its own and is stopped
at twice its budget, so a part that hangs or is not installed costs the page one section.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from thalweg import options
from thalweg.console import Console, duration
from thalweg.errors import ThalwegError, visible
from thalweg.files import check_output, write_pages
from thalweg.page import Markup, Section, document, escape, tag
from thalweg.version import __version__

KIND = "thalweg-tour"


@dataclass(frozen=True)
class Entry:
    """place: "module:function"; budget: seconds of wall time on two cores; takes: the tour's options that it wants."""

    place: str
    budget: float
    takes: tuple[str, ...] = field(default=())


SECTIONS: dict[str, Entry] = {
    "words": Entry("thalweg.words.tour:section", budget=60, takes=("corpus",)),
    "optim": Entry("thalweg.optim.tour:section", budget=20),
}

TEXT = {
    "en": {
        "title": "thalweg, the tour",
        "lead": "Write down an energy, go down it, or sample from it. Everything on this page was computed on this machine.",
        "again": "Get the same:",
        "made": "Made by thalweg {version} in {time}. This page loads nothing from anywhere.",
        "stopped": "Stopped after {time}: twice its budget of {budget}.",
        "failed": "This section could not be made: {reason}",
    },
    "zh": {
        "title": "thalweg 导览",
        "lead": "写下一个能量，沿着它下降，或者从它采样。本页的一切都在这台机器上现算。",
        "again": "得到同样的结果：",
        "made": "由 thalweg {version} 生成，用时 {time}。本页不从任何地方加载内容。",
        "stopped": "{time} 后停止：已是预算 {budget} 的两倍。",
        "failed": "本节没有做成：{reason}",
    },
}


@dataclass(frozen=True)
class Outcome:
    """What became of a section: the section, or the reason why there is none."""

    section: Section | None
    reason: str
    seconds: float


def run_section(name: str, arguments: dict[str, Any], locale: str) -> Outcome:
    """Run a section in a process of its own."""
    began = time.monotonic()
    budget = SECTIONS[name].budget
    call = json.dumps({"name": name, "arguments": arguments | {"locale": locale}})
    command = [sys.executable, "-m", "thalweg.tour", call]  # stdin stays the user's: `--corpus -` reads it
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, encoding="utf-8") as child:
        try:
            out, _ = child.communicate(timeout=2 * budget)
        except subprocess.TimeoutExpired:
            text = TEXT[locale]["stopped"]
            return Outcome(None, text.format(time=duration(2 * budget), budget=duration(budget)), 2 * budget)
        finally:  # also on Ctrl-C: no child survives its tour
            child.kill()
    seconds = time.monotonic() - began
    try:
        answer = json.loads(out)
    except ValueError:
        answer = {"reason": f"exit status {child.returncode}"}
    if "section" in answer:
        return Outcome(Section.from_json(answer["section"]), "", seconds)
    return Outcome(None, answer["reason"], seconds)


def _child() -> int:
    """The other side of run_section: call in the argument, answer on stdout, progress on stderr."""
    call = json.loads(sys.argv[1])
    arguments = call["arguments"]
    console = Console(quiet=arguments.pop("quiet", False))
    module, _, function = SECTIONS[call["name"]].place.partition(":")
    answer, sys.stdout = sys.stdout, sys.stderr  # what a library prints is not the answer
    try:
        with console.progress() as progress:
            section = getattr(importlib.import_module(module), function)(progress=progress, **arguments)
    except KeyboardInterrupt:
        return 130
    except ThalwegError as error:
        answer.write(json.dumps({"reason": str(error)}))
        return 1
    except Exception as error:
        traceback.print_exc()
        answer.write(json.dumps({"reason": visible(" ".join(f"{type(error).__name__}: {error}".split()))}))
        return 1
    answer.write(json.dumps({"section": section.to_json()}))
    return 0


def page(outcomes: dict[str, Outcome], locale: str, seconds: float) -> str:
    """The tour's page."""
    text = TEXT[locale]
    body: list[Markup] = [tag("h1", text["title"]), tag("p", text["lead"], class_="lead")]
    for name, outcome in outcomes.items():
        if outcome.section is not None:
            body.append(outcome.section.html(name, text["again"]))
        else:
            reason = tag("p", text["failed"].format(reason=outcome.reason), class_="missing")
            body.append(tag("section", tag("h2", name), reason, id=name))
    made = text["made"].format(version=__version__, time=duration(seconds))
    return document(text["title"], body, locale=locale, footer=escape(made))


@options.command("tour", examples=["thalweg tour --out tour", "thalweg tour --corpus notes/ --out tour --overwrite"])
@options.out_option(default="tour")
@options.option("--corpus", metavar="PATH", multiple=True, help="Your own text (one or several) instead of docs:.")
@options.locale_option
@options.overwrite_option
@options.json_option
@options.quiet_option
def command(out: Path, corpus: tuple[str, ...], locale: str, overwrite: bool, json: bool, quiet: bool) -> None:
    """Run the main jobs of all parts and write them on one page, index.html."""
    check_output(out, overwrite)
    given = {"corpus": list(corpus)} if corpus else {}
    console = Console(json=json, quiet=quiet, command="tour")
    began = time.monotonic()
    outcomes = {}
    for name, entry in SECTIONS.items():
        console.note(f"section {name}: at most {duration(2 * entry.budget)}")
        arguments = {key: value for key, value in given.items() if key in entry.takes}
        outcomes[name] = run_section(name, arguments | {"quiet": quiet}, locale)
    failed = {name: outcome.reason for name, outcome in outcomes.items() if outcome.section is None}
    if len(failed) == len(outcomes):
        msg = "; ".join(f"section {name}: {reason}" for name, reason in failed.items())
        raise ThalwegError(msg)
    write_pages(out, KIND, 1, {"index.html": page(outcomes, locale, time.monotonic() - began)}, overwrite)
    summary = {
        "page": out / "index.html",
        "sections": {name: outcome.seconds for name, outcome in outcomes.items()},
        "failed": failed,
    }
    console.result(summary, f"{out / 'index.html'}")
    console.note(f"done in {console.elapsed()}; open the page in a browser")
    if failed:
        msg = "; ".join(f"section {name}: {reason}" for name, reason in failed.items())
        raise ThalwegError(msg)


if __name__ == "__main__":
    sys.exit(_child())
