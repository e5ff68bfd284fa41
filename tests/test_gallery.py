"""The gallery: what a page computes equals its Python twin, and each page is one small file that loads nothing."""

from __future__ import annotations

import json
import math
import string
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from thalweg import cli, gallery, tour
from thalweg.words import tour as words_tour
from thalweg.words.gallery import pmi

BUDGET = 500_000  # bytes of a page


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    return gallery.build()


@pytest.fixture(scope="module")
def folder(pages: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pages")
    for name, text in pages.items():
        (path / name).write_text(text, encoding="utf-8")
    return path


every_page = pytest.mark.parametrize(
    "name", [gallery.file_name(page, locale) for page in ("index", *gallery.PAGES) for locale in gallery.LOCALES]
)
both_locales = pytest.mark.parametrize("locale", gallery.LOCALES)


# ---- files


def test_there_is_every_page_in_every_language(pages):
    assert set(pages) == {gallery.file_name(page, locale) for page in ("index", *gallery.PAGES) for locale in gallery.LOCALES}


@every_page
def test_a_page_fits_its_budget(pages, name):
    assert len(pages[name].encode()) <= BUDGET


@every_page
def test_a_page_refers_to_other_pages_of_the_gallery_only(pages, name, references):
    """Every link resolves within the folder, and nothing else is linked or loaded."""
    found = set(references(pages[name]))
    assert found <= set(pages)
    assert "index.html" in found or "index.zh.html" in found


def test_the_index_links_to_every_page_and_every_page_to_its_twin_in_the_other_language(pages, references):
    for locale, other in (gallery.LOCALES, gallery.LOCALES[::-1]):
        found = references(pages[gallery.file_name("index", locale)])
        assert {gallery.file_name(page, locale) for page in gallery.PAGES} <= set(found)
        for page in gallery.PAGES:
            assert gallery.file_name(page, other) in references(pages[gallery.file_name(page, locale)])


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


@pytest.mark.parametrize("texts", [gallery.TEXT, tour.TEXT, words_tour.TEXT, pmi.texts()], ids=["gallery", "tour", "words", "pmi"])
def test_both_languages_say_the_same_things(texts):
    """The same keys, and in each text the same gaps to fill."""
    english, chinese = texts["en"], texts["zh"]
    assert set(english) == set(chinese)
    for key, text in english.items():
        assert placeholders(text) == placeholders(chinese[key]), key
        assert chinese[key].strip()


def test_every_entry_has_both_languages():
    for entry in gallery.PAGES.values():
        assert set(entry.titles) == set(entry.summaries) == set(gallery.LOCALES)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_vectors_of_a_page_are_whole(language):
    store = pmi.store(language)
    n = len(store.words)
    assert len(store.codes) == len(store.profiles) == len(store.scales) == len(set(store.words)) == n > 500
    assert {store.first, *store.examples} <= set(store.words)
    assert all(math.isfinite(scale) and scale > 0 for scale in store.scales)
    assert all(word == word.strip().lower() for word in store.words)  # so that each can be typed
    assert np.abs(store.codes).max(axis=1).min() == 127  # 8 bits are used to the full


# ---- mathematics


def spread(name: str, x: float, y: float) -> float:
    values = [pmi.product(name, x, y, z) for z in np.linspace(-3, 3, 61)]
    return max(values) - min(values)


@pytest.mark.parametrize(("x", "y"), [(1.5, 0.5), (-2, 2), (0, 0), (2, 2), (-2, -2)])
def test_only_the_exponential_meets_the_requirement(x, y):
    """f(z) f(x + y - z) does not depend on z, and equals f(x) f(y)."""
    assert spread("exp", x, y) < 1e-12
    assert pmi.product("exp", x, y, 0.3) == pytest.approx(x + y)
    for name in set(pmi.CHOICES) - {"exp"}:
        assert spread(name, x, y) > 0.1


# ---- the page beside its twin


@pytest.fixture
def ask(visit: Callable[..., Any], folder: Path) -> Callable[[str], Any]:
    return lambda locale, width=1280: visit(folder / gallery.file_name("words-pmi", locale), width).page


@pytest.mark.browser
def test_the_pages_product_is_its_twins(ask):
    settings = [(1.5, 0.5, 0.0), (-2.0, 2.0, 3.0), (0.1, -0.7, -3.0), (2.0, 2.0, 1.9), (-1.3, -2.0, 0.4)]
    calls = [(name, *knobs) for name in pmi.CHOICES for knobs in settings]
    found = ask("en").evaluate("calls => calls.map(call => thalweg.product(...call))", calls)
    np.testing.assert_allclose(found, [pmi.product(*call) for call in calls], rtol=0, atol=1e-12)


@pytest.mark.browser
@both_locales
def test_the_pages_inner_products_correlations_and_rankings_are_their_twins(ask, locale):
    """Five words: of each all inner products and correlations, and the ten words that come first."""
    store, page = pmi.store(locale), ask(locale)
    n = len(store.words)
    asked = [0, 1, n // 3, n // 2, n - 1]
    assert page.evaluate("thalweg.words") == store.words
    for name, twin in (("inner", store.inner), ("alike", store.alike)):
        expected = np.array([[twin(i, j) for j in range(n)] for i in asked])
        found = page.evaluate(f"asked => asked.map(i => thalweg.words.map((_, j) => thalweg.{name}(i, j)))", asked)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
        first = page.evaluate(f"asked => asked.map(i => thalweg.ranked(thalweg.{name}, i, 10))", asked)
        for i, scores, ranking in zip(asked, expected, first, strict=True):
            others = sorted((j for j in range(n) if j != i), key=lambda j, scores=scores: (-scores[j], j))
            assert [j for _, j in ranking] == others[:10]


# ---- the page in a reader's hands


def listed(page: Any, name: str) -> list[str]:
    found: list[str] = page.eval_on_selector_all(f"#{name} button", "buttons => buttons.map(b => b.textContent)")
    return found


@pytest.mark.browser
@both_locales
def test_a_click_on_a_word_asks_it(ask, locale):
    """On a suggestion, and on a word of a list."""
    page, store = ask(locale), pmi.store(locale)
    assert page.input_value("#word") == store.first
    assert len(listed(page, "related")) == len(listed(page, "similar")) == 10
    page.click(f"button[data-word='{store.examples[1]}']")
    assert page.input_value("#word") == store.examples[1]
    word = listed(page, "similar")[2]
    page.click("#similar li:nth-child(3) button")
    assert page.input_value("#word") == word
    i = store.words.index(word)
    scores = [(store.inner(i, j), -j) for j in range(len(store.words)) if j != i]
    assert listed(page, "related") == [store.words[-j] for _, j in sorted(scores, reverse=True)[:10]]


@pytest.mark.browser
@both_locales
def test_a_typed_word_is_asked_and_an_unknown_one_named(ask, locale):
    """`$&` stands for the match in JavaScript's replace; typed, it is two characters as any other."""
    page, store = ask(locale), pmi.store(locale)
    page.fill("#word", f"  {store.examples[2].upper()} ")
    page.press("#word", "Enter")
    assert page.input_value("#word") == store.examples[2]
    assert page.inner_text("#note") == ""
    before = listed(page, "related")
    for typed in ("xyzzy", "<img src=x onerror=alert(1)>", "$&", "{n}"):
        page.fill("#word", typed)
        page.press("#word", "Enter")
        page.dispatch_event("#word", "change")
        text = pmi.texts()[locale]["unknown"]
        assert page.text_content("#note") == text.format(word=typed, n=len(store.words))
        assert listed(page, "related") == before


@pytest.mark.browser
def test_the_knobs_turn_from_the_keyboard(ask):
    page = ask("en")
    curve = page.get_attribute("#curve", "d")
    page.focus("#x")
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    assert (page.input_value("#x"), page.inner_text("#xv")) == ("1.8", "1.8")
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowLeft")
    assert (page.input_value("#y"), page.inner_text("#yv")) == ("0.4", "0.4")
    assert page.get_attribute("#curve", "d") != curve
    page.focus("#f")
    page.keyboard.press("End")
    assert page.input_value("#f") == "exp"
    assert page.inner_text("#verdict") == pmi.texts()["en"]["flat"]


@pytest.mark.browser
@both_locales
@pytest.mark.parametrize("name", ["square", "softplus", "shifted"])
def test_the_verdict_names_the_spread_that_the_twin_computes(ask, locale, name):
    page = ask(locale)
    page.select_option("#f", name)
    assert page.inner_text("#verdict") == pmi.texts()[locale]["bent"].format(spread=f"{spread(name, 1.5, 0.5):.2f}")


@pytest.mark.browser
@every_page
def test_a_page_is_not_wider_than_a_phone(visit, folder, name):
    """At 390 pixels, with the longest word of the page asked; `visit` fails on a request or a complaint."""
    seen = visit(folder / name, 390)
    assert seen.overflow() <= 0
    if "words-pmi" in name:
        seen.page.evaluate("word => ask(word)", max(pmi.store("zh" if ".zh" in name else "en").words, key=len))
        assert seen.overflow() <= 0


@pytest.mark.browser
def test_links_lead_from_page_to_page(visit, folder):
    page = visit(folder / "index.html").page
    page.click(".cards a")
    assert page.url.endswith("words-pmi.html")
    page.click("nav .end")
    assert page.url.endswith("words-pmi.zh.html")
    page.click("nav .brand")
    assert page.url.endswith("index.zh.html")


# ---- `thalweg gallery`


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """What was opened in the browser. The pages are small, and ./gallery is in an empty folder."""
    addresses: list[str] = []
    monkeypatch.setattr("webbrowser.open", lambda address: addresses.append(address) or True)
    monkeypatch.setattr(gallery, "build", lambda: {"index.html": "<p>new", "index.zh.html": "<p>新"})
    monkeypatch.chdir(tmp_path)
    return addresses


def run(*args: str) -> Any:
    return CliRunner().invoke(cli.program, ["gallery", *args])


@pytest.mark.parametrize(("locale", "start"), [("en", "index.html"), ("zh", "index.zh.html")])
def test_the_gallery_is_written_and_opened_in_the_readers_language(opened, locale, start):
    result = run("--locale", locale)
    assert result.exit_code == 0
    path = Path("gallery", start).resolve()
    assert opened == [path.as_uri()]
    assert result.stdout == f"{path}\n"
    assert path.exists()


def test_pages_of_this_version_are_opened_as_they_are(opened):
    run()
    Path("gallery/index.html").write_text("<p>old")
    assert run().exit_code == 0
    assert Path("gallery/index.html").read_text() == "<p>old"
    assert len(opened) == 2


def test_pages_of_another_version_are_made_anew(opened):
    run()
    Path("gallery/index.html").write_text("<p>old")
    manifest = json.loads(Path("gallery/manifest.json").read_text())
    Path("gallery/manifest.json").write_text(json.dumps(manifest | {"thalweg": "0.0.1"}))
    assert run().exit_code == 0
    assert Path("gallery/index.html").read_text() == "<p>new"


@pytest.mark.parametrize("manifest", [None, '{"name": "my web app"}', "[]", "not JSON"])
def test_a_folder_of_somebody_elses_called_gallery_is_left_alone(opened, manifest):
    Path("gallery").mkdir()
    Path("gallery/index.html").write_text("my pictures")
    if manifest is not None:
        Path("gallery/manifest.json").write_text(manifest)
    result = run()
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1
    assert "gallery" in result.stderr
    assert Path("gallery/index.html").read_text() == "my pictures"
    assert opened == []


def test_exported_pages_are_listed(opened):
    result = run("export", "pages", "--json")
    assert json.loads(result.stdout)["result"] == {"out": "pages", "pages": ["index.html", "index.zh.html"]}
    assert Path("pages/index.html").read_text() == "<p>new"
    assert run("export", "pages").exit_code == 1
    assert run("export", "pages", "--overwrite").exit_code == 0
