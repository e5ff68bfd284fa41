"""The gallery: what a page computes equals its Python twin, and each page is one small file that loads nothing."""

from __future__ import annotations

import json
import math
import re
import runpy
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
    "name", [gallery.file_name(page, locale) for page in ("index", *gallery.pages()) for locale in gallery.LOCALES]
)
both_locales = pytest.mark.parametrize("locale", gallery.LOCALES)


# ---- files


def test_there_is_every_page_in_every_language(pages):
    assert set(pages) == {gallery.file_name(page, locale) for page in ("index", *gallery.pages()) for locale in gallery.LOCALES}


@every_page
def test_a_page_fits_its_budget(pages, name):
    assert len(pages[name].encode()) <= BUDGET


@every_page
def test_a_page_refers_to_other_pages_of_the_gallery_only(pages, name, references):
    """Every link resolves within the folder, but for the essay; nothing is loaded."""
    essays = {entry.essay for entry in gallery.pages().values()}
    found = set(references(pages[name]))
    assert found - essays <= set(pages)
    assert len(re.findall('href="https', pages[name])) == len(found & essays) == (name.partition(".")[0] != "index")
    assert "index.html" in found or "index.zh.html" in found


def test_the_index_links_to_every_page_and_every_page_to_its_twin_in_the_other_language(pages, references):
    for locale, other in (gallery.LOCALES, gallery.LOCALES[::-1]):
        found = references(pages[gallery.file_name("index", locale)])
        assert {gallery.file_name(page, locale) for page in gallery.pages()} <= set(found)
        for page in gallery.pages():
            assert gallery.file_name(page, other) in references(pages[gallery.file_name(page, locale)])


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


@pytest.mark.parametrize(
    "texts", [gallery.TEXT, tour.TEXT, words_tour.TEXT, pmi.FILES.texts()], ids=["gallery", "tour", "words", "pmi"]
)
def test_both_languages_say_the_same_things(texts):
    """The same keys, and in each text the same gaps to fill."""
    english, chinese = texts["en"], texts["zh"]
    assert set(english) == set(chinese)
    for key, text in english.items():
        assert placeholders(text) == placeholders(chinese[key]), key
        assert chinese[key].strip()


def test_every_entry_has_both_languages():
    for entry in gallery.pages().values():
        assert set(entry.titles) == set(entry.summaries) == set(gallery.LOCALES)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_vectors_of_a_page_are_whole(language):
    store = pmi.store(language)
    n = len(store.words)
    assert len(store.codes) == len(store.rarities) == len(store.scales) == len(set(store.words)) == n > 500
    assert sorted(store.profiles) == [100, 1000, 10_000]
    assert {len(profiles) for profiles in store.profiles.values()} == {n}
    assert {store.first, *store.examples} <= set(store.words)
    assert store.rarities == sorted(store.rarities)  # words by falling count
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


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_common_vector_changes_no_prediction_of_glove_and_makes_all_cosines_one(language):
    """With b' = b - <v, a> - |a|^2/2 the sum <v_i + a, v_j + a> + b'_i + b'_j is <v_i, v_j> + b_i + b_j; with known biases not."""
    store = pmi.store(language)
    for i, j in store.pairs:
        cosine, glove, known = store.moved(i, j, 0)
        assert cosine == pytest.approx(store.inner(i, j) / store.norm(i) / store.norm(j))
        assert glove == pytest.approx(known, abs=1e-12)
        for t in (0.5, 7, 30):
            assert store.moved(i, j, t)[1] == pytest.approx(glove, abs=1e-9)
            assert abs(store.moved(i, j, t)[2] - known) > 0.01
        assert 1 - store.moved(i, j, 1000)[0] < 1e-4


@pytest.mark.parametrize("language", ["en", "zh"])
def test_stop_words_are_short(language):
    """Of the words of a page with -ln P below 6 all are shorter than any of the examples."""
    store = pmi.store(language)
    frequent = [store.norm(i) for i, rarity in enumerate(store.rarities) if rarity < 6]
    assert len(frequent) > 20
    assert max(frequent) < min(store.norm(store.words.index(word)) for word in store.examples)


def first_ten(store: pmi.Store, word: str, contexts: int) -> list[str]:
    i = store.words.index(word)
    others = sorted((j for j in range(len(store.words)) if j != i), key=lambda j: -store.alike(i, j, contexts))
    return [store.words[j] for j in others[:10]]


def test_the_page_says_what_the_number_of_context_words_changes():
    """The words that its text names as examples."""
    english, chinese = pmi.store("en"), pmi.store("zh")
    assert {"went", "left", "looked"} <= set(first_ten(english, "walked", 100)[:5])
    assert first_ten(english, "walked", 10_000)[:2] == ["walk", "go"]
    assert first_ten(chinese, "国王", 100)[:1] == ["王后"]
    assert {"妻子", "弟弟"} <= set(first_ten(chinese, "国王", 100))
    assert {"王朝", "王国"} <= set(first_ten(chinese, "国王", 10_000)) - set(first_ten(chinese, "国王", 100))


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
    assert page.evaluate("thalweg.stops") == sorted(store.profiles)
    scores_by = {"thalweg.inner": store.inner}
    for contexts in store.profiles:
        scores_by[f"(i, j) => thalweg.alike(i, j, {contexts})"] = lambda i, j, contexts=contexts: store.alike(i, j, contexts)
    for score, twin in scores_by.items():
        expected = np.array([[twin(i, j) for j in range(n)] for i in asked])
        found = page.evaluate(f"asked => asked.map(i => thalweg.words.map((_, j) => ({score})(i, j)))", asked)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
        first = page.evaluate(f"asked => asked.map(i => thalweg.ranked({score}, i, 10))", asked)
        for i, scores, ranking in zip(asked, expected, first, strict=True):
            others = sorted((j for j in range(n) if j != i), key=lambda j, scores=scores: (-scores[j], j))
            assert [j for _, j in ranking] == others[:10]


@pytest.mark.browser
@both_locales
def test_the_pages_lengths_biases_and_moved_vectors_are_their_twins(ask, locale):
    store, page = pmi.store(locale), ask(locale)
    n = len(store.words)
    found = page.evaluate("thalweg.words.map((_, i) => [thalweg.norm(i), thalweg.bias(i, 3.5)])")
    np.testing.assert_allclose(found, [[store.norm(i), store.bias(i, 3.5)] for i in range(n)], rtol=0, atol=1e-12)
    calls = [(i, j, t) for i, j in [*store.pairs, (0, n - 1)] for t in (0, 0.5, 12, 30)]
    found = page.evaluate("calls => calls.map(call => thalweg.moved(...call))", calls)
    np.testing.assert_allclose(found, [store.moved(*call) for call in calls], rtol=0, atol=1e-12)


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
def test_the_slider_of_context_words_changes_the_similar_ones_only(ask, locale):
    page, store = ask(locale), pmi.store(locale)
    page.evaluate("word => ask(word)", store.examples[1])
    related = listed(page, "related")
    page.focus("#stop")
    page.keyboard.press("Home")
    assert page.inner_text("#stopv") == "100"
    for contexts, kind in ((100, "role"), (1000, "between"), (10_000, "topic")):
        assert page.inner_text("#stopv") == f"{contexts:,}"
        assert listed(page, "similar") == first_ten(store, store.examples[1], contexts)
        assert page.inner_text("#kind") == pmi.FILES.texts()[locale][kind]
        page.keyboard.press("ArrowRight")
    assert listed(page, "related") == related


@pytest.mark.browser
@both_locales
def test_the_slider_of_the_common_vector_moves_cosines_and_not_what_glove_predicts(ask, locale):
    """To the last digit shown."""
    page, store = ask(locale), pmi.store(locale)

    def column(name: str) -> list[str]:
        return [page.inner_text(f"#{name}{k}") for k in range(len(store.pairs))]

    before = {name: column(name) for name in ("cosine", "glove", "known")}
    page.focus("#t")
    for key in ["ArrowRight"] * 3 + ["End"]:
        page.keyboard.press(key)
        assert column("glove") == before["glove"]
        assert not set(column("cosine")) & set(before["cosine"])
        assert not set(column("known")) & set(before["known"])
    assert all(float(text) > 0.98 for text in column("cosine"))
    assert page.inner_text("#nearest").count(pmi.FILES.texts()[locale]["comma"]) == 5


@pytest.mark.browser
@both_locales
@pytest.mark.parametrize("width", [390, 1280])
def test_a_click_in_the_picture_of_lengths_asks_the_nearest_word(ask, locale, width):
    """On the dot of the word that stands apart most: the longest."""
    page, store = ask(locale, width), pmi.store(locale)
    longest = max(range(len(store.words)), key=store.norm)
    x, y = page.evaluate("i => spot(i)", longest)
    box = page.evaluate(
        "(() => { const b = document.getElementById('lengths').getBoundingClientRect(); return [b.width, b.height]; })()"
    )
    page.click("#lengths", position={"x": x * box[0] / 480, "y": y * box[1] / 324})
    assert page.input_value("#word") == store.words[longest]
    marked = page.eval_on_selector("#here", "c => [Number(c.getAttribute('cx')), Number(c.getAttribute('cy'))]")
    assert marked == pytest.approx([x, y], abs=0.06)
    assert store.words[longest] in page.inner_text("#ranks")


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
        text = pmi.FILES.texts()[locale]["unknown"]
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
    assert page.inner_text("#verdict") == pmi.FILES.texts()["en"]["flat"]


@pytest.mark.browser
@both_locales
@pytest.mark.parametrize("name", ["square", "softplus", "shifted"])
def test_the_verdict_names_the_spread_that_the_twin_computes(ask, locale, name):
    page = ask(locale)
    page.select_option("#f", name)
    assert page.inner_text("#verdict") == pmi.FILES.texts()[locale]["bent"].format(spread=f"{spread(name, 1.5, 0.5):.2f}")


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


# ---- knobs

every_knob_page = pytest.mark.parametrize(
    "name", [gallery.file_name(page, locale) for page in gallery.pages() for locale in gallery.LOCALES]
)


@pytest.mark.browser
@every_knob_page
def test_every_control_has_a_name_and_every_slider_says_its_value(visit, folder, name):
    """In the browser's accessibility tree: the label alone is the name, what the page shows is the value."""
    page = visit(folder / name).page
    tree = page.context.new_cdp_session(page).send("Accessibility.getFullAXTree")["nodes"]
    controls = [node for node in tree if node["role"]["value"] in ("slider", "combobox", "textbox", "button")]
    assert len(controls) >= 4
    for node in controls:
        assert node["name"]["value"].strip(), node
    sliders = [node for node in controls if node["role"]["value"] == "slider"]
    told = page.eval_on_selector_all("output", "all => all.map(output => output.textContent)")
    said = page.eval_on_selector_all("input[type=range]", "all => all.map(knob => knob.getAttribute('aria-valuetext'))")
    assert len(sliders) == len(told)
    assert said == told
    assert all(told)


@pytest.mark.browser
@pytest.mark.parametrize("name", [gallery.file_name(page, "en") for page in gallery.pages()])  # the script is that of all languages
def test_a_page_sent_as_it_stands_opens_as_it_stood(visit, folder, name):
    """The address holds the knobs that were turned; one at its first place is not in it; nonsense in it does nothing."""
    page = visit(folder / name).page
    ids = page.eval_on_selector_all(".knobs input[type=range]:enabled", "all => all.map(knob => knob.id)")
    for knob in ids:
        page.focus(f"#{knob}")
        page.keyboard.press("ArrowRight")
    stand = "() => [...document.querySelectorAll('.knobs :is(input, select), code[data-code]')].map(e => e.value ?? e.textContent)"
    lines = "() => [...document.querySelectorAll('svg path[id]')].map(e => e.getAttribute('d'))"
    before, drawn, address = page.evaluate(stand), page.evaluate(lines), page.url
    assert "#" in address
    again = visit(folder / name).page
    again.goto("about:blank")
    again.goto(address)
    assert again.evaluate(stand) == before
    assert again.evaluate(lines) == drawn
    for knob in ids:
        again.focus(f"#{knob}")
        again.keyboard.press("ArrowLeft")
    assert "=" not in again.url
    odd = visit(folder / name).page
    first = odd.evaluate(stand)
    odd.goto("about:blank")
    odd.goto((folder / name).as_uri() + f"#nothing=1&{ids[0]}=x&__proto__=2&%E0=%")
    assert odd.evaluate(stand) == first


@pytest.mark.browser
@every_knob_page
def test_commands_name_the_knobs_as_the_script_tells_them(visit, folder, pages, name):
    """What stands on the page without a script is what the script fills in at first."""
    page = visit(folder / name).page
    found = re.findall(r'<code data-code="[^"]*">(.*?)</code>', pages[name])
    assert page.eval_on_selector_all("code[data-code]", "all => all.map(code => code.innerHTML)") == found
    assert found


@pytest.mark.browser
@pytest.mark.parametrize("name", gallery.pages())
def test_without_scripts_a_page_shows_what_its_script_draws_at_first(browser, name):
    """The kept still is that of the page of today, to a fifth of a unit; `python scripts/stills.py` makes it anew."""
    stills = runpy.run_path(str(Path(__file__).parent.parent / "scripts" / "stills.py"))
    kept, found = json.loads(stills["place"](name).read_text(encoding="utf-8")), stills["still"](browser, name)
    for part, elements in found.items():
        assert kept[part].keys() == elements.keys()
        for element, change in elements.items():
            assert kept[part][element].keys() == change.keys(), element
            for key, value in change.items():
                one, other = (re.split(r"(-?\d+(?:\.\d+)?)", text) for text in (kept[part][element][key], value))
                assert one[::2] == other[::2], element
                np.testing.assert_allclose([float(x) for x in one[1::2]], [float(x) for x in other[1::2]], rtol=1e-3, atol=0.2)


@pytest.mark.browser
@every_knob_page
def test_a_reader_without_scripts_sees_pictures_and_is_told_why_the_knobs_do_nothing(browser, folder, name):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto((folder / name).as_uri())
    locale = "zh" if ".zh" in name else "en"
    assert page.inner_text("noscript, .missing") == gallery.TEXT[locale]["still"]
    paths = page.eval_on_selector_all("svg path[id]", "all => all.map(path => (path.getAttribute('d') || '').length)")
    assert min(paths) > 5
    assert all(page.eval_on_selector_all("output", "all => all.map(output => output.textContent)"))
    context.close()


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
