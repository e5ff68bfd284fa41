"""The page door: strings from a corpus, a file name or an error, shown in a real browser as nothing but text."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from thalweg import style, tour
from thalweg.errors import visible
from thalweg.page import Exhibit, Section, data, document, raw_svg, table, tag

HOSTILE = [
    "</script><script>window.hacked=1</script>",
    "<script>window.hacked=2</script>",
    "<img src=x onerror=window.hacked=3>",
    '"><svg onload="window.hacked=4">',
    "<!--<script>window.hacked=5</script>-->",
    "</title><script>window.hacked=6</script>",
    "</style><script>window.hacked=7</script>",
    "]]><script>window.hacked=8</script>",
    "<a href=javascript:window.hacked=9>x</a>",
    '<meta http-equiv="refresh" content="0;url=https://example.org/">',
    "<iframe src=https://example.org/></iframe>",
    "<link rel=stylesheet href=https://example.org/x.css>",
    "<base href=https://example.org/>",
    "&lt;script&gt;&amp;",
    "\u202egnp.exe\u2066",
    "a\u200bb\ufeffc",
    "\x1b]0;title\x07\x1b[31m",
    "\x00\ud800\udfff\ue000",
    "x\u2028y\u2029z",
    "$\\frac{",
    "{{7*7}}${7*7}",
    "e" + "\u0301" * 300,
    "W" * 3000,
]
SCRIPT = """
const texts = JSON.parse(document.getElementById("texts").textContent);
for (const text of texts) { const p = document.createElement("p"); p.className = "shown"; p.textContent = text; main.append(p); }
"""


def hostile_page() -> str:
    """Every string in every place that a page has for one."""
    fig, axes = style.figure()
    axes.set(title=style.plain(HOSTILE[0]), xlabel=style.plain(HOSTILE[2]), ylabel=style.plain(HOSTILE[3]))
    picture = raw_svg(style.svg(fig, "".join(HOSTILE[:4])))
    body = [tag("div", id="main")]
    for text in HOSTILE:
        cells = table([text, text], [[text, text]], caption=text)
        content = tag("p", text, title=text, data_word=text, class_=text)
        body.append(Section(text, text, [Exhibit(content, text), Exhibit(cells, text)], [(text, text)], text).html("words", text))
    body += [picture, data("texts", [text for text in HOSTILE if "\ud800" not in text])]
    return document("".join(HOSTILE), body, script=SCRIPT, top="".join(HOSTILE), footer="".join(HOSTILE))


@pytest.mark.browser
@pytest.mark.parametrize("width", [390, 1280])
def test_hostile_strings_are_shown_as_text_and_nothing_else(tmp_path, visit, width):
    """No script of theirs runs, no element of theirs exists, no request leaves (`visit` fails on one, and on any complaint)."""
    path = tmp_path / "page.html"
    path.write_text(hostile_page(), encoding="utf-8")
    seen = visit(path, width)
    page = seen.page
    assert page.evaluate("window.hacked") is None
    assert page.url == path.as_uri()
    found = page.evaluate("[...new Set([...document.querySelectorAll('*')].map(e => e.localName))]")
    assert not set(found) & {"img", "iframe", "link", "base", "a", "form", "object", "embed", "frame", "animate", "set"}
    assert page.evaluate("document.scripts.length") == 2  # the data and the program
    titles = page.evaluate("[...document.querySelectorAll('h2')].map(e => e.textContent)")
    assert titles == [visible(text) for text in HOSTILE]
    attributes = page.evaluate("[...document.querySelectorAll('p[data-word]')].map(e => [e.dataset.word, e.title])")
    assert attributes == [[visible(text)] * 2 for text in HOSTILE]
    shown = page.evaluate("[...document.querySelectorAll('p.shown')].map(e => e.textContent)")
    assert shown == [text for text in HOSTILE if "\ud800" not in text]
    assert HOSTILE[0] in page.evaluate("[...document.querySelectorAll('svg text')].map(e => e.textContent)")
    assert page.evaluate("document.querySelector('svg').getAttribute('aria-label')") == "".join(HOSTILE[:4])
    assert seen.overflow() <= 0


@pytest.fixture
def outside() -> Iterator[tuple[str, list[str]]]:
    """A server beside the page, and what it was asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()
        thread.join()


@pytest.mark.browser
def test_a_script_that_is_not_the_pages_own_neither_runs_nor_loads(tmp_path, browser, outside):
    """The second wall: were the escaping wrong somewhere, the policy would still hold. The browser reports each as refused."""
    address, asked = outside
    injected = [
        "<script>window.hacked=1</script>",
        f"<script src={address}/a.js></script>",
        f"<img src={address}/b.png onerror=window.hacked=2>",
        f"<iframe src={address}/c></iframe>",
        f"<style>@import '{address}/d.css'; p {{ background: url({address}/e.png) }}</style>",
        f"<link rel=stylesheet href={address}/f.css>",
        "<a id=link href='javascript:window.hacked=3'>x</a>",
        "<p>x</p>",
    ]
    page = document("t", [tag("p", "x")], script="window.own=1").replace("<p>x</p>", "".join(injected))
    path = tmp_path / "page.html"
    path.write_text(page, encoding="utf-8")
    opened = browser.new_page()
    refused: list[str] = []
    opened.on("console", lambda message: refused.append(message.text))
    opened.goto(path.as_uri())
    opened.click("#link")
    assert opened.evaluate("[window.own, window.hacked]") == [1, None]
    opened.close()
    assert asked == []
    assert sum("Content Security Policy" in text for text in refused) >= 6


@pytest.mark.browser
def test_a_hostile_reason_of_a_failed_section_is_text(tmp_path, visit):
    outcomes = {"words": tour.Outcome(None, f"there is no file {json.dumps(HOSTILE[2])}", 1.0)}
    path = tmp_path / "index.html"
    path.write_text(tour.page(outcomes, "en", 1.0), encoding="utf-8")
    seen = visit(path)
    assert seen.page.evaluate("window.hacked") is None
    assert HOSTILE[2] in seen.page.inner_text("p.missing")
