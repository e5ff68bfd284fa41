"""HTML: text stays text, data stay data, a page loads nothing and runs nothing but its own script."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import math
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from thalweg import style
from thalweg.errors import visible
from thalweg.page import Exhibit, Markup, Section, data, document, escape, formula, join, raw_svg, table, tag

any_text = st.text(st.characters())  # with lone surrogates and control characters
MARKUP = st.sampled_from(["<", ">", "&", '"', "'", "</script>", "<!--", "-->", "]]>", "<script>", "&lt;", "\u2028", "\x00", "\\"])
nasty_text = st.lists(MARKUP | any_text, max_size=8).map("".join)


class Reader(HTMLParser):
    """What a browser makes of a document: its elements with their attributes, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def names(self) -> list[str]:
        return [name for name, _ in self.elements]


# ---- text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<b>", "&lt;b&gt;"),
        ("a & b", "a &amp; b"),
        ("\"q\" 'q'", "&quot;q&quot; &#x27;q&#x27;"),
        ("\x1b]0;x\x07", "\\x1b]0;x\\x07"),
        ("\u202ex", "\\u202ex"),
        ("a\u200bb", "a\\u200bb"),
        ("\ud800", "\\ud800"),
        ("\ue000", "\\ue000"),
        ("\x00", "\\x00"),
        (3, "3"),
        (None, "None"),
    ],
)
def test_text_is_escaped_and_what_is_hidden_in_it_is_shown(text, expected):
    assert escape(text) == expected


def test_markup_is_not_escaped_again():
    assert escape(escape("<b>")) == "&lt;b&gt;"
    assert join([tag("b", "<"), "<"]) == "<b>&lt;</b>&lt;"


@given(nasty_text)
def test_no_text_becomes_an_element(text):
    """A reader of the page sees exactly the text, with its hidden characters shown."""
    seen = Reader(tag("p", text))
    assert seen.names() == ["p"]
    assert seen.text == visible(text)


@given(nasty_text)
def test_no_text_leaves_its_attribute(text):
    seen = Reader(tag("p", "x", title=text, data_word=text))
    assert seen.elements == [("p", {"title": visible(text), "data-word": visible(text)})]


def test_text_of_an_event_handler_stays_in_its_attribute():
    seen = Reader(tag("p", "x", title='" onmouseover="hacked()'))
    assert seen.elements == [("p", {"title": '" onmouseover="hacked()'})]


def test_an_element_inside_an_attribute_does_not_end_it():
    """Markup passes as it is between tags; in an attribute its quotes are text."""
    seen = Reader(tag("p", "x", title=tag("b", "y", class_="z")))
    assert [(name, list(attributes)) for name, attributes in seen.elements] == [("p", ["title"])]


def test_names_of_attributes_are_spelled_as_in_html():
    assert tag("label", "a", class_="k", for_="x", data_word="w", aria_label="l", title=None) == (
        '<label class="k" for="x" data-word="w" aria-label="l">a</label>'
    )
    assert tag("br") == "<br>"
    assert tag("output", "") == "<output></output>"


def test_numbers_in_a_table_are_aligned_right_and_text_is_escaped():
    cells = table(["<i>", "n"], [["<b>", 1234567], ["x", 0.123456]], caption="<u>")
    assert " ".join(Reader(cells).names()) == "div table caption thead tr th th tbody tr td td tr td td"
    assert re.findall(r'<td class="n">([^<]*)', cells) == ["1,234,567", "0.123"]


# ---- data for the script


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | nasty_text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(nasty_text, inner, max_size=3),
    max_leaves=8,
)


@given(json_values)
def test_no_text_can_leave_the_data_of_a_page(value):
    """The element holds no character that HTML or an old JavaScript could take for its end, and the value comes back."""
    element = data("vectors", value)
    inside = re.fullmatch(r'<script type="application/json" id="vectors">(.*)</script>', element, re.S)
    assert inside
    assert not set(inside[1]) & set("<>&\u2028\u2029")
    assert json.loads(inside[1]) == value


@given(json_values)
@example(["caf\udce9.txt"])
def test_the_data_of_a_page_can_be_written_to_a_file(value):
    """Story: a lone surrogate, as in the name of a file that is not UTF-8, ended in a UnicodeEncodeError."""
    data("vectors", value).encode("utf-8")


@pytest.mark.parametrize("value", [math.nan, math.inf, {"a": [-math.inf]}])
def test_data_that_javascript_cannot_read_are_refused(value):
    """JSON.parse knows no NaN; the page would stay empty."""
    with pytest.raises(ValueError, match="JSON compliant"):
        data("vectors", value)


# ---- pictures


@pytest.mark.parametrize(
    "svg",
    [
        "<p>no picture</p>",
        " <svg></svg>",
        "<svg><script>hacked()</script></svg>",
        "<svg><SCRIPT>hacked()</SCRIPT></svg>",
        "<svg><foreignObject><p>x</p></foreignObject></svg>",
        '<svg onload="hacked()"></svg>',
        '<svg><g ONCLICK = "hacked()"/></svg>',
        "<svg/onload=hacked()></svg>",
        '<svg id="a"onload="hacked()"></svg>',
        '<svg><image href="https://example.org/x.png"/></svg>',
        '<svg><use xlink:href="https://example.org/x.svg#a"/></svg>',
        "<svg><image href='//example.org/x.png'/></svg>",
        "<svg><image href=https://example.org/x.png /></svg>",
        '<svg><a href="javascript:hacked()"><text>x</text></a></svg>',
        '<svg><a href=" javascript:hacked()"><text>x</text></a></svg>',
        '<svg><set attributeName="href" to="javascript:hacked()"/></svg>',
        '<svg><g style="fill:url(https://example.org/x)"/></svg>',
        '<svg><g style="fill:URL( https://example.org/x)"/></svg>',
        "<svg><style>@import 'https://example.org/x.css';</style></svg>",
        "<svg></svg><img src=x>",
        '<svg></svg><meta http-equiv="refresh" content="0;url=https://example.org">',
        "<svg><iframe srcdoc='x'></iframe></svg>",
        "<svg><title><style><!--</style><img src=x onerror=hacked()>--></style></title></svg>",
        "<svg><g>",
    ],
)
def test_a_picture_that_could_run_or_load_is_refused(svg):
    with pytest.raises(ValueError, match="not an SVG picture of ours"):
        raw_svg(svg)


def test_our_own_pictures_are_accepted():
    """Figures with clip paths, markers and text that looks like markup, and formulas.

    Story: the text was searched as the markup was, so a title with `one = 1` (or ` onload=`) was refused.
    """
    fig, axes = style.figure()
    axes.scatter([1, 2], [3, 4])
    axes.plot([1, 2], [3, 4], marker="o")
    axes.set_xlabel("one = 1")
    axes.set_title('url(x) <script> onload= href="https://example.org" & 数学')
    assert raw_svg(style.svg(fig, 'on "load" = <b> url(x) href=y')).startswith("<svg")
    assert raw_svg(formula(r"\frac{a}{b}<c")).startswith("<svg")


def test_a_formula_is_a_picture_that_loads_nothing_and_says_its_source(references):
    tex = r"\langle v_i,v_j\rangle=\ln\frac{P(w_i,w_j)}{P(w_i)\,P(w_j)} < 1"
    picture = ElementTree.fromstring(formula(tex))  # well formed
    assert picture.get("aria-label") == tex
    assert picture.get("role") == "img"
    assert references(formula(tex)) == []
    assert [element.tag for element in picture] == ["path"]
    assert len(formula(tex)) < 20_000


# ---- sections


def test_a_section_crosses_a_process_boundary_whole():
    section = Section(
        "a < b", "claim\u2028 数学", [Exhibit(tag("p", "<x>"), "caption"), Exhibit(Markup("<hr>"))], [("what", "3 s")], "thalweg"
    )
    again = Section.from_json(section.to_json())
    assert again == section
    assert again.html("words") == section.html("words")


@given(nasty_text)
def test_no_text_in_a_section_becomes_an_element(text):
    text = text or "x"
    section = Section(text, text, [Exhibit(tag("p", "x"), text)], [(text, text)], text)
    names = Reader(section.html("words", text)).names()
    assert " ".join(names) == "section h2 p dl div dt dd figure p figcaption p br code"


# ---- documents


def policy_of(page: str) -> dict[str, list[str]]:
    [content] = [a["content"] for _, a in Reader(page).elements if a.get("http-equiv") == "Content-Security-Policy"]
    return {words[0]: words[1:] for words in map(str.split, (content or "").split(";"))}


def test_a_page_allows_its_own_script_and_nothing_else():
    """The policy names the SHA-256 of the very bytes between the tags."""
    page = document("t", [], script="\nconst a = '<&>数学';\n")
    [script] = re.findall(r"<script>(.*?)</script>", page, re.S)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = policy_of(page)
    assert policy["default-src"] == ["'none'"]
    assert policy["script-src"] == [f"'sha256-{digest}'"]
    assert policy["base-uri"] == policy["form-action"] == ["'none'"]


def test_a_page_without_a_script_allows_none():
    page = document("t", [tag("p", "x")])
    assert "<script" not in page
    assert policy_of(page)["script-src"] == ["'none'"]


def test_the_policy_comes_before_anything_that_it_governs():
    names = Reader(document("t", [], script="1")).elements
    governed = [k for k, (name, _) in enumerate(names) if name in ("style", "script", "link", "img")]
    [policy] = [k for k, (_, attributes) in enumerate(names) if attributes.get("http-equiv")]
    assert policy < min(governed)


def test_a_page_is_self_contained(references):
    fig, axes = style.figure()
    axes.plot([1, 2], [3, 4], marker="o")
    page = document("t", [raw_svg(style.svg(fig, "a line")), formula("x^2"), data("d", ["</script>"])], script="1", footer="f")
    assert references(page) == []


@pytest.mark.parametrize(("locale", "language"), [("en", "en"), ("zh", "zh-Hans")])
def test_a_page_says_its_language(locale, language):
    assert Reader(document("t", [], locale=locale)).elements[0] == ("html", {"lang": language})


@given(nasty_text)
def test_no_title_becomes_an_element(text):
    page = document(text, [], top=text or "x", footer=text or "x")
    assert " ".join(Reader(page).names()) == "html head meta meta meta meta title style body nav main footer"
    assert html.escape(visible(text)) in page
