"""The tour: a section that hangs, fails or is not installed costs the page one section; the page is harmless and fits a phone."""

from __future__ import annotations

import json
import os
import random
import shlex
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from thalweg import cli, tour
from thalweg.page import Section
from thalweg.words import WordVectors
from thalweg.words import tour as words_tour

# ---- sections in processes of their own


SECTIONS = """
import os, signal, sys, time
from thalweg.errors import MissingExtraError
from thalweg.page import Section

def good(*, locale="en", corpus="none", progress=None):
    progress(1, 2, phase="working")
    return Section(f"{locale} {corpus}", "a claim: 数学 \\u2028", command="thalweg words fit")

def hangs(**given):
    time.sleep(600)

def talks(**given):
    print("a library prints")
    return Section("talked", "x")

def hears(**given):
    return Section(sys.stdin.read(), "x")

def refuses(**given):
    raise MissingExtraError("torch is not installed: pip install 'thalweg[torch]'")

def breaks(**given):
    raise ValueError("the energy <rose>")

def needs(**given):
    import no_such_library

def dies(**given):
    os._exit(3)

def begins(*, so_far, progress, **given):
    so_far(Section("begun", "a claim"))
    so_far(Section("half done", "a claim"))
    time.sleep(600)

def stumbles(*, so_far, progress, **given):
    so_far(Section("half done", "a claim"))
    raise ValueError("no picture")

def deaf(**given):
    os.kill(os.getpid(), signal.SIGINT)
    return Section("done", "x")

def slow(*, corpus="none", **given):
    time.sleep(1.5)
    return Section(f"slow {corpus}", "a claim")
"""

CHILD = """
import sys
from thalweg import tour
for name in {names}:
    tour.SECTIONS[name] = tour.Entry("sections_of_the_test:" + name, 1)
sys.exit(tour._child())
"""


@pytest.fixture
def children(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[subprocess.Popen[str]]:
    """The sections of SECTIONS, here and in the tour's children; the children that were started.

    A child is a new interpreter with the tour's own dictionary, so ours is entered there before its work begins.
    """
    (tmp_path / "sections_of_the_test.py").write_text(SECTIONS, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    names = [line.split("(")[0].removeprefix("def ") for line in SECTIONS.splitlines() if line.startswith("def ")]
    entries = {name: tour.Entry(f"sections_of_the_test:{name}", budget=60, takes=("corpus",)) for name in names}
    monkeypatch.setattr(tour, "SECTIONS", entries)
    started: list[subprocess.Popen[str]] = []
    popen = subprocess.Popen

    def start(command: list[str], **attrs: Any) -> subprocess.Popen[str]:
        assert command[:3] == [sys.executable, "-m", "thalweg.tour"]
        started.append(popen([sys.executable, "-c", CHILD.format(names=names), *command[3:]], **attrs))
        return started[-1]

    monkeypatch.setattr(tour.subprocess, "Popen", start)
    return started


def test_a_section_runs_in_a_process_of_its_own(children):
    outcome = tour.run_section("good", {"corpus": "notes", "quiet": True}, "zh")
    assert outcome.section == Section("zh notes", "a claim: 数学 \u2028", command="thalweg words fit")
    assert outcome.reason == ""
    assert 0 < outcome.seconds < 60
    assert children[0].returncode == 0


def test_a_section_that_hangs_is_stopped_at_twice_its_budget(children, monkeypatch):
    monkeypatch.setitem(tour.SECTIONS, "hangs", tour.Entry("sections_of_the_test:hangs", budget=0.3))
    outcome = tour.run_section("hangs", {"quiet": True}, "en")
    assert (outcome.section, outcome.seconds) == (None, 0.6)
    assert outcome.why("en") == "stopped after 0.60 s, twice its budget of 0.30 s"
    assert outcome.why("zh") == "0.60 s 后停止，已是预算 0.30 s 的两倍"
    assert children[0].returncode == -9
    assert children[0].stdout is not None
    assert children[0].stdout.closed  # and with it the pipe


def test_a_section_that_is_interrupted_leaves_no_child(children, monkeypatch):
    """Ctrl-C comes while the tour waits for the section's answer."""
    start = tour.subprocess.Popen

    def start_interrupted(*args: Any, **attrs: Any) -> Any:
        child = start(*args, **attrs)
        wait = child.communicate

        def interrupted(timeout: float | None = None) -> Any:
            if timeout is not None:
                raise KeyboardInterrupt
            return wait()

        child.communicate = interrupted
        return child

    monkeypatch.setattr(tour.subprocess, "Popen", start_interrupted)
    outcome = tour.run_section("hangs", {"quiet": True}, "en")
    assert (outcome.section, outcome.how) == (None, "interrupted")
    assert children[0].returncode == -9


def test_ctrl_c_is_the_tours_business(children, capfd):
    """A terminal sends it to the section's process too, which answered with a traceback where it was still importing."""
    assert tour.run_section("deaf", {"quiet": True}, "en").section == Section("done", "x")
    assert "Traceback" not in capfd.readouterr().err
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


def test_what_a_section_has_shown_is_kept_however_it_ends(children, monkeypatch):
    monkeypatch.setitem(tour.SECTIONS, "begins", tour.Entry("sections_of_the_test:begins", budget=4))
    for name, why in (("begins", "stopped after 8.00 s, twice its budget of 4.00 s"), ("stumbles", "ValueError: no picture")):
        outcome = tour.run_section(name, {"quiet": True}, "en")
        assert outcome.section == Section("half done", "a claim")
        assert outcome.why("en") == why


def test_work_on_ones_own_text_has_no_limit(children, monkeypatch):
    """The sections were stopped after two minutes, all sweeps done, and neither page nor vectors were left."""
    monkeypatch.setitem(tour.SECTIONS, "slow", tour.Entry("sections_of_the_test:slow", budget=0.1, takes=("corpus",)))
    assert tour.run_section("slow", {"quiet": True, "corpus": "mine"}, "en").section == Section("slow mine", "a claim")
    assert tour.run_section("slow", {"quiet": True}, "en").section is None


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("refuses", "torch is not installed: pip install 'thalweg[torch]'"),
        ("breaks", "the energy <rose>"),
        ("needs", "no_such_library"),
        ("dies", "exit status 3"),
    ],
)
def test_a_section_that_fails_says_why(children, capfd, name, reason):
    """Story: of an error that is not thalweg's own, as of a library that is not there, the page said `exit status 1`."""
    outcome = tour.run_section(name, {"quiet": True}, "en")
    assert outcome.section is None
    assert reason in outcome.reason
    assert len(outcome.reason.splitlines()) == 1


def test_a_section_may_print(children):
    """What a library prints is not the answer."""
    outcome = tour.run_section("talks", {"quiet": True}, "en")
    assert outcome.section == Section("talked", "x")


def test_a_section_may_read_what_is_piped_in(children):
    """`cat notes.txt | thalweg tour --corpus -` said that - is empty: the section's call came through the same pipe."""
    ours = os.dup(0)
    out, into = os.pipe()
    try:
        os.dup2(out, 0)
        os.write(into, b"a text")
        os.close(into)
        outcome = tour.run_section("hears", {"quiet": True}, "en")
    finally:
        os.dup2(ours, 0)
        os.close(out)
        os.close(ours)
    assert outcome.section == Section("a text", "x")


def only(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    monkeypatch.setattr(tour, "SECTIONS", {name: tour.SECTIONS[name] for name in names})


def run(*args: str) -> Any:
    return CliRunner().invoke(cli.program, ["tour", *args])


def test_a_failed_section_is_shown_beside_the_good_ones_and_ends_in_status_one(children, monkeypatch, tmp_path, references):
    only(monkeypatch, "good", "refuses")
    result = run("--out", str(tmp_path / "tour"), "--quiet")
    assert result.exit_code == 1
    assert "section refuses: torch is not installed" in result.stderr
    page = (tmp_path / "tour" / "index.html").read_text(encoding="utf-8")
    assert references(page) == []
    assert "en none" in page
    assert "This section could not be made: torch is not installed: pip install &#x27;thalweg[torch]&#x27;" in page


def test_the_page_holds_what_there_is_in_one_language(children, monkeypatch, tmp_path):
    only(monkeypatch, "good", "begins")
    monkeypatch.setitem(tour.SECTIONS, "begins", tour.Entry("sections_of_the_test:begins", budget=3))
    result = run("--out", str(tmp_path / "tour"), "--locale", "zh")
    assert result.exit_code == 1
    assert "section begins: stopped after 6.00 s, twice its budget of 3.00 s" in result.stderr
    page = (tmp_path / "tour" / "index.html").read_text(encoding="utf-8")
    assert "half done" in page
    assert "本节其余部分没有做成：6.00 s 后停止，已是预算 3.00 s 的两倍" in page


def test_an_interrupted_tour_writes_its_page_and_names_what_it_did_not_come_to(children, monkeypatch, tmp_path):
    only(monkeypatch, "good", "hangs", "talks")
    run_section = tour.run_section

    def interrupted(name: str, arguments: dict[str, Any], locale: str) -> tour.Outcome:
        return run_section(name, arguments, locale) if name == "good" else tour.Outcome(None, "", 2.0, "interrupted")

    monkeypatch.setattr(tour, "run_section", interrupted)
    result = run("--out", str(tmp_path / "tour"), "--quiet")
    assert result.exit_code == 130
    page = (tmp_path / "tour" / "index.html").read_text(encoding="utf-8")
    assert "This section could not be made: interrupted after 2.00 s" in page
    assert page.index("interrupted after") < page.index("This section could not be made: the tour was interrupted before it")


def test_vectors_of_ones_own_text_are_kept_even_if_no_picture_can_be_drawn(monkeypatch, tmp_path):
    """And a second tour replaces them only where it is asked to."""
    (tmp_path / "notes.txt").write_text("alpha beta gamma\nbeta gamma delta\n" * 10)

    def in_process(name: str, arguments: dict[str, Any], locale: str) -> tour.Outcome:
        with pytest.raises(RuntimeError, match="no picture"):
            words_tour.section(locale=locale, corpus=arguments["corpus"], keep=arguments["keep"])
        return tour.Outcome(None, "no picture", 1.0)

    def fail(*args: object) -> None:
        raise RuntimeError("no picture")

    monkeypatch.setattr(words_tour.tour_figures, "energy", fail)
    monkeypatch.setattr(tour, "run_section", in_process)
    only(monkeypatch, "words")
    arguments = ("--corpus", str(tmp_path / "notes.txt"), "--out", str(tmp_path / "tour"))
    result = run(*arguments)
    assert result.exit_code == 1
    assert f"thalweg words related {tmp_path / 'tour' / 'vectors'} WORD" in result.stderr
    assert len(WordVectors.load(tmp_path / "tour" / "vectors")) == 4
    assert "--overwrite" in run(*arguments).stderr
    assert run(*arguments, "--overwrite").exit_code == 1


def test_without_any_section_there_is_no_page(children, monkeypatch, tmp_path):
    only(monkeypatch, "refuses")
    result = run("--out", str(tmp_path / "tour"), "--quiet")
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "tour").exists()


def test_an_output_that_is_taken_is_refused_before_any_section_runs(children, tmp_path):
    (tmp_path / "tour").mkdir()
    (tmp_path / "tour" / "thesis.tex").write_text("years of work")
    assert run("--out", str(tmp_path / "tour"), "--overwrite").exit_code == 1
    assert children == []


def test_every_section_can_be_imported():
    for entry in tour.SECTIONS.values():
        module, _, function = entry.place.partition(":")
        assert callable(getattr(__import__(module, fromlist=["_"]), function))
        assert entry.budget <= 60  # seconds: the longest that any part may take


# ---- the words section on a user's own text


ENGLISH = [
    "river stream valley bridge boat fish flows narrow deep banks",
    "cloud rain wind storm thunder falls heavy dark horizon weather",
    "market street house baker bread window opens early crowd square",
]
CHINESE = [
    "河流 山谷 桥梁 小船 流过 狭窄 两岸 渔民 洪水 湖泊",
    "天空 下雨 刮风 打雷 闪电 乌云 天气 寒冷 太阳 温度",
    "市场 街道 房屋 面包 窗户 早晨 人群 广场 商店 居民",
]
TEXTS = {"en": (ENGLISH, " "), "zh": (CHINESE, "")}  # topics, and what stands between two words
HOSTILE = "<img src=x onerror=window.hacked=1>"  # in the name of the file, which the page shows
ODD = "e\u0301\u0302\u0303 שלום \u202egnp\u202c \x1b]0;x\x07 <script>window.hacked=2</script> \U0001f642 "


def corpus_of(topics: list[str], space: str) -> str:
    """Sentences of seven words of one topic each, and some odd ones."""
    chance = random.Random(0)
    sentences = [space.join(chance.choices(chance.choice(topics).split(), k=7)) for _ in range(2000)]
    return "\n".join(sentences) + "\n" + "\n".join([ODD] * 20)


@pytest.fixture(scope="module")
def toured(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """toured(locale) -> the folder that `thalweg tour --corpus` wrote. The section runs in this process, compiled already."""
    made: dict[str, Path] = {}

    def in_process(name: str, arguments: dict[str, Any], locale: str) -> tour.Outcome:
        assert name == "words"
        return tour.Outcome(words_tour.section(locale=locale, corpus=arguments["corpus"]), "", 1.0)

    def make(locale: str) -> Path:
        if locale not in made:
            folder = tmp_path_factory.mktemp(locale)
            (folder / f"{HOSTILE}.txt").write_text(corpus_of(*TEXTS[locale]), encoding="utf-8")
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(tour, "run_section", in_process)
                patch.setattr(tour, "SECTIONS", {"words": tour.SECTIONS["words"]})
                patch.chdir(folder)
                result = run("--corpus", f"{HOSTILE}.txt", "--out", "tour", "--locale", locale, "--json")
            assert result.exit_code == 0, result.output
            assert json.loads(result.stdout)["result"]["failed"] == {}
            made[locale] = folder / "tour"
        return made[locale]

    return make


both_locales = pytest.mark.parametrize("locale", ["en", "zh"])


@both_locales
def test_a_tour_of_ones_own_text_ends_with_a_page(toured, references, locale):
    """The page is whole and self-contained, and the related words of a word are of its topic."""
    folder = toured(locale)
    assert sorted(path.name for path in folder.iterdir()) == ["index.html", "manifest.json"]
    page = (folder / "index.html").read_text(encoding="utf-8")
    assert references(page) == []
    assert page.rstrip().endswith("</html>")
    assert page.count("<svg") == 4
    rows = [row.split("</td><td>") for row in page.split("<tr><td><strong>")[1:]]
    assert rows
    for word, related, *_ in rows:
        topics = [set(topic.split()) for topic in TEXTS[locale][0]]
        own = next((topic for topic in topics if word.removesuffix("</strong>") in topic), None)
        if own is not None:  # the odd words have no topic
            first = related.replace("、", ", ").split(", ")[:5]
            assert len(own & set(first)) >= 4, (word, related)


@pytest.mark.browser
@pytest.mark.parametrize("width", [390, 1280])
@both_locales
def test_the_page_is_harmless_and_fits_the_window(toured, visit, locale, width):
    """The file's name is an element with a handler, its text holds another; `visit` fails on a request or a complaint."""
    seen = visit(toured(locale) / "index.html", width)
    assert seen.overflow() <= 0
    assert seen.page.evaluate("window.hacked") is None
    assert HOSTILE in seen.page.inner_text(".claim")
    assert seen.page.evaluate("document.images.length + document.scripts.length") == 0
    title = {"en": "Every sweep lowers the energy", "zh": "每一轮都降低能量"}[locale]
    assert title in seen.page.eval_on_selector_all("svg text", "texts => texts.map(t => t.textContent)")


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    path = tmp_path / "my notes.txt"
    path.write_text("alpha beta gamma\nbeta gamma delta\n" * 10)
    return path


def test_the_command_of_a_section_works_as_typed(tiny):
    """Also for a path with a space in it, and with the encoding that was needed."""
    section = words_tour.section(corpus=str(tiny))
    assert shlex.split(section.command) == ["thalweg", "words", "fit", str(tiny), "--out", "vec"]
    section = words_tour.section(corpus=str(tiny), encoding="gb18030")
    assert shlex.split(section.command) == ["thalweg", "words", "fit", str(tiny), "--encoding", "gb18030", "--out", "vec"]


def test_what_could_not_be_read_is_said(tiny, tmp_path):
    """Half of a folder in another encoding was missing on the page, and nobody knew."""
    (tmp_path / "gbk.txt").write_bytes("电脑 手机\n".encode("gbk") * 20)
    tiny.write_bytes(tiny.read_bytes() + b"\xff\xfe alpha\n")
    section = words_tour.section(corpus=str(tmp_path))
    assert ("files left out", str(tmp_path / "gbk.txt")) in section.numbers
    assert ("undecodable bytes, read as spaces", "2") in section.numbers
    assert any("gbk.txt" in note and "--encoding" in note for note in section.notes)


@pytest.mark.parametrize("text", ["a b " * 10, "数学 物理 " * 10, "alpha beta\n" * 6], ids=["one line", "Chinese", "one pair"])
def test_a_text_of_two_words_makes_a_section_without_nonsense(tmp_path, text):
    """One pair has no spread: R squared and the correlation are 0/0, which was shown as -inf and nan, with warnings."""
    (tmp_path / "notes.txt").write_text(text)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        section = words_tour.section(corpus=str(tmp_path / "notes.txt"))
    shown = [value for _, value in section.numbers] + [exhibit.caption for exhibit in section.exhibits]
    assert [value for value in shown if "nan" in value.split() or "inf" in value.split() or "-inf" in value.split()] == []
