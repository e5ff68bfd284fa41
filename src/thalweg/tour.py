"""`thalweg tour`: the main jobs of all parts, run here and now, on one self-contained page.

A section is the function `section(locale=..., ...) -> Section` of a part (`thalweg.parts`). Each runs in a process of its own and
is stopped at twice its budget, so a part that hangs or is not installed costs the page one section. Work on a user's own text has
no limit. A section tells what it has whenever there is more of it (`so_far`), and what was told is on the page, however it ends.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import json
import shlex
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from thalweg import options
from thalweg.console import Console, duration
from thalweg.errors import ThalwegError, visible
from thalweg.files import MANIFEST, check_output, write_pages
from thalweg.page import Markup, Section, document, escape, tag
from thalweg.parts import PARTS
from thalweg.version import __version__

KIND = "thalweg-tour"
VECTORS = "vectors"  # in the tour's folder: those of a user's own text


@dataclass(frozen=True)
class Entry:
    """place: "module:function"; budget: seconds of wall time on two cores; takes: the tour's options that it wants."""

    place: str
    budget: float
    takes: tuple[str, ...] = field(default=())


SECTIONS = {name: Entry(f"{part.home}.tour:section", part.budget, part.takes) for name, part in PARTS.items()}

TEXT = {
    "en": {
        "title": "thalweg, the tour",
        "lead": "Write down an energy, go down it, or sample from it. Everything on this page was computed on this machine.",
        "again": "Get the same:",
        "made": "Made by thalweg {version} in {time}. This page loads nothing from anywhere.",
        "stopped": "stopped after {time}, twice its budget of {budget}",
        "interrupted": "interrupted after {time}",
        "skipped": "the tour was interrupted before it",
        "failed": "This section could not be made: {reason}",
        "partly": "The rest of this section could not be made: {reason}",
    },
    "zh": {
        "title": "thalweg 导览",
        "lead": "写下一个能量，沿着它下降，或者从它采样。本页的一切都在这台机器上现算。",
        "again": "得到同样的结果：",
        "made": "由 thalweg {version} 生成，用时 {time}。本页不从任何地方加载内容。",
        "stopped": "{time} 后停止，已是预算 {budget} 的两倍",
        "interrupted": "{time} 后被中断",
        "skipped": "导览在此之前已被中断",
        "failed": "本节没有做成：{reason}",
        "partly": "本节其余部分没有做成：{reason}",
    },
}


@dataclass(frozen=True)
class Outcome:
    """What became of a section: the section, or as much of it as there is and why there is no more.

    how: "stopped", "interrupted" or "skipped", where that is the reason.
    """

    section: Section | None
    reason: str
    seconds: float
    how: str = ""
    budget: float = 0.0

    def why(self, locale: str) -> str:
        """The reason in a language; what an error says is in English."""
        if not self.how:
            return self.reason
        return TEXT[locale][self.how].format(time=duration(self.seconds), budget=duration(self.budget))


def run_section(name: str, arguments: dict[str, Any], locale: str) -> Outcome:
    """Run a section in a process of its own."""
    began = time.monotonic()
    budget = SECTIONS[name].budget
    limit = None if "corpus" in arguments else 2 * budget
    how = ""
    call = json.dumps({"name": name, "arguments": arguments | {"locale": locale}})
    command = [sys.executable, "-m", "thalweg.tour", call]  # stdin stays the user's: `--corpus -` reads it
    with _deaf_children() as listen, subprocess.Popen(command, stdout=subprocess.PIPE, text=True, encoding="utf-8") as child:
        try:
            listen()
            out, _ = child.communicate(timeout=limit)
        except (subprocess.TimeoutExpired, KeyboardInterrupt) as end:
            how = "stopped" if isinstance(end, subprocess.TimeoutExpired) else "interrupted"
            child.kill()
            out, _ = child.communicate()  # all that it has said
        finally:  # no child survives its tour
            child.kill()
    seconds = time.monotonic() - began if how != "stopped" else 2 * budget
    section, reason = None, f"exit status {child.returncode}"
    for line in out.split("\n")[:-1]:  # what follows the last line end broke off
        answer = json.loads(line)
        section = Section.from_json(answer["section"]) if "section" in answer else section
        reason = answer.get("reason", reason)
    return Outcome(section, reason, seconds, how, budget)


@contextlib.contextmanager
def _deaf_children() -> Iterator[Callable[[], object]]:
    """Children that are born here do not hear Ctrl-C, which they would answer with a traceback while they start: we end them.

    Yields what makes this process hear it again.
    """
    if not hasattr(signal, "pthread_sigmask"):  # not on Windows
        yield lambda: None
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield lambda: signal.pthread_sigmask(signal.SIG_SETMASK, before)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _child() -> int:
    """The other side of run_section: call in the argument, answer on stdout, progress on stderr."""
    call = json.loads(sys.argv[1])
    arguments = call["arguments"]
    console = Console(quiet=arguments.pop("quiet", False))
    module, _, function = SECTIONS[call["name"]].place.partition(":")
    answer, sys.stdout = sys.stdout, sys.stderr  # what a library prints is not the answer

    def say(**told: object) -> None:
        print(json.dumps(told), file=answer, flush=True)

    try:
        with console.progress() as progress:
            make = getattr(importlib.import_module(module), function)
            if "so_far" in inspect.signature(make).parameters:
                arguments["so_far"] = lambda section: say(section=section.to_json())
            say(section=make(progress=progress, **arguments).to_json(), reason="")
    except ThalwegError as error:
        say(reason=str(error))
        return 1
    except Exception as error:
        traceback.print_exc()
        say(reason=visible(" ".join(f"{type(error).__name__}: {error}".split())))
        return 1
    return 0


def page(outcomes: dict[str, Outcome], locale: str, seconds: float) -> str:
    """The tour's page."""
    text = TEXT[locale]
    body: list[Markup] = [tag("h1", text["title"]), tag("p", text["lead"], class_="lead")]
    for name, outcome in outcomes.items():
        if outcome.section is not None:
            body.append(outcome.section.html(name, text["again"]))
        if why := outcome.why(locale):
            whole = outcome.section is None
            reason = tag("p", text["failed" if whole else "partly"].format(reason=why), class_="missing")
            body.append(tag("section", tag("h2", name), reason, id=name) if whole else reason)
    made = text["made"].format(version=__version__, time=duration(seconds))
    return document(text["title"], body, locale=locale, footer=escape(made))


@options.command("tour", examples=["thalweg tour --out tour", "thalweg tour --corpus notes/ --out tour --overwrite"])
@options.out_option(default="tour")
@options.option("--corpus", metavar="PATH", multiple=True, help="Your own text (one or several) instead of docs:.")
@options.option("--encoding", default="utf-8", help="Encoding of your files that do not say it themselves, such as gb18030.")
@options.locale_option
@options.overwrite_option
@options.json_option
@options.quiet_option
def command(out: Path, corpus: tuple[str, ...], encoding: str, locale: str, overwrite: bool, json: bool, quiet: bool) -> None:
    """Run the main jobs of all parts and write them on one page, index.html."""
    check_output(out, overwrite)
    given = {"corpus": list(corpus), "keep": str(out / VECTORS), "encoding": encoding} if corpus else {}
    if corpus:
        write_pages(out, KIND, 1, {}, overwrite)  # so that it is ours, whatever happens to the vectors in it
    console = Console(json=json, quiet=quiet, command="tour")
    began = time.monotonic()
    outcomes: dict[str, Outcome] = {}
    for name, entry in SECTIONS.items():
        arguments = {key: value for key, value in given.items() if key in entry.takes}
        limit = "as long as your text takes" if "corpus" in arguments else f"at most {duration(2 * entry.budget)}"
        console.note(f"section {name}: {limit}")
        outcomes[name] = run_section(name, arguments | {"quiet": quiet}, locale)
        for note in section.notes if (section := outcomes[name].section) else []:
            console.note(note)
        if outcomes[name].how == "interrupted":
            outcomes |= {later: Outcome(None, "", 0.0, "skipped") for later in SECTIONS if later not in outcomes}
            break
    failed = {name: why for name, outcome in outcomes.items() if (why := outcome.why("en"))}
    reasons = "; ".join(f"section {name}: {reason}" for name, reason in failed.items())
    kept = out / VECTORS if corpus and (out / VECTORS / MANIFEST).exists() else None
    if kept is not None:
        console.note(f"the vectors of your text are kept: thalweg words related {shlex.quote(str(kept))} WORD")
    interrupted = any(outcome.how == "interrupted" for outcome in outcomes.values())
    if not any(outcome.section for outcome in outcomes.values()):
        if interrupted:
            raise KeyboardInterrupt
        raise ThalwegError(reasons)
    write_pages(out, KIND, 1, {"index.html": page(outcomes, locale, time.monotonic() - began)}, overwrite or bool(corpus))
    summary = {
        "page": out / "index.html",
        "sections": {name: outcome.seconds for name, outcome in outcomes.items()},
        "failed": failed,
        "vectors": kept,
    }
    console.result(summary, f"{out / 'index.html'}")
    console.note(f"done in {console.elapsed()}; open the page in a browser")
    if interrupted:
        raise KeyboardInterrupt
    if failed:
        raise ThalwegError(reasons)


if __name__ == "__main__":
    sys.exit(_child())
