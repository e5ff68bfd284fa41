"""The only writer of HTML: self-contained pages that load nothing and run nothing but their own script.

Text is data until it is marked: `tag("p", text)` escapes `text`, and only this module makes Markup. Strings from a corpus may
carry `</script>`, control characters or bidirectional marks; `visible` shows these instead of obeying them. Each page has a
content security policy that forbids every outside request and every script but the page's own, named by its hash.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import html
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from thalweg.errors import visible


class Markup(str):
    """A string that is HTML already."""

    __slots__ = ()


def escape(text: object) -> Markup:
    """Text as HTML: markup characters escaped, control characters shown; Markup passes."""
    return text if isinstance(text, Markup) else Markup(html.escape(visible(str(text)).replace("\x00", "")))


def tag(name: str, /, *children: object, **attributes: object) -> Markup:
    """`<name attribute="...">children</name>`, everything escaped. `class_` is class, `data_x` is data-x; None leaves one out."""
    spelled = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(visible(str(value)))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in ("input", "meta", "br", "hr", "img"):
        return Markup(f"<{name}{spelled}>")
    return Markup(f"<{name}{spelled}>{join(children)}</{name}>")


def join(parts: Iterable[object]) -> Markup:
    return Markup("".join(escape(part) for part in parts))


_SVG = frozenset(
    ("svg", "g", "defs", "style", "path", "use", "clipPath", "rect", "circle", "line", "polyline", "polygon", "text", "tspan")
)


def raw_svg(svg: str) -> Markup:
    """An `<svg>` element made by `thalweg.style.svg` or by this module.

    Raises ValueError for anything that is not one well-formed element of shapes and text, or that could run or load something.
    """
    try:
        safe = svg.startswith("<svg") and "<!" not in svg and "<?" not in svg
        safe = safe and all(_is_harmless(element) for element in ElementTree.fromstring(svg).iter())
    except ElementTree.ParseError:
        safe = False
    if not safe:
        msg = "not an SVG picture of ours"
        raise ValueError(msg)
    return Markup(svg)


def _is_harmless(element: ElementTree.Element) -> bool:
    """A shape, text, or a plain style; no handler, and nothing named that lies outside of the picture."""
    name = element.tag.rpartition("}")[2]
    attributes = {key.rpartition("}")[2].lower(): value for key, value in element.attrib.items()}
    styles = [
        *(value for key, value in attributes.items() if key != "aria-label"),
        *([element.text or ""] if name == "style" else []),
    ]
    return (
        name in _SVG
        and not any(key.startswith("on") for key in attributes)
        and attributes.get("href", "#").startswith("#")
        and not any(re.search(r"url\(\s*(?!#)", text, re.I) for text in styles)
        and not (name == "style" and ("@" in styles[-1] or len(element)))
    )


def table(head: Sequence[object], rows: Iterable[Sequence[object]], caption: object = None) -> Markup:
    """A table; numbers are aligned right."""
    body = [tag("tr", *(_cell(content) for content in row)) for row in rows]
    top = tag("caption", caption) if caption is not None else Markup("")
    return tag(
        "div",
        tag("table", top, tag("thead", tag("tr", *(tag("th", h) for h in head))), tag("tbody", *body)),
        class_="table",
    )


def _cell(content: object) -> Markup:
    if isinstance(content, (int, float)):
        return tag("td", f"{content:,}" if isinstance(content, int) else f"{content:.3g}", class_="n")
    return tag("td", content)


def data(name: str, value: object) -> Markup:
    """JSON for the page's script, in a form that no text in it can leave."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for ch, code in (
        ("<", "\\u003c"),
        (">", "\\u003e"),
        ("&", "\\u0026"),
        ("\u2028", "\\u2028"),
        ("\u2029", "\\u2029"),
    ):
        text = text.replace(ch, code)
    text = text.encode("utf-8", "backslashreplace").decode()  # lone surrogates as JSON's own escapes
    return Markup(f'<script type="application/json" id="{escape(name)}">{text}</script>')


@functools.cache
def formula(tex: str) -> Markup:
    """A formula as an inline picture with TeX's shapes (matplotlib's mathtext), scaled with the text; its source is its label."""
    import matplotlib
    from matplotlib.textpath import TextPath

    with matplotlib.rc_context({"mathtext.fontset": "cm"}):
        path = TextPath((0, 0), f"${tex}$", size=100)
    letters = {1: "M", 2: "L", 3: "Q", 4: "C", 79: "Z"}
    pieces = []
    for vertices, code in path.iter_segments(curves=True, simplify=False):
        numbers = " ".join(f"{v if k % 2 == 0 else -v:.0f}" for k, v in enumerate(vertices)) if code != 79 else ""
        pieces.append(letters[int(code)] + numbers)
    box = path.get_extents()
    top, depth, width = box.y1, max(0.0, -box.y0), box.x1 + 8
    em = 0.0108  # 100 units of the path are 1.08 em: Computer Modern is small for its size
    return Markup(
        f'<svg class="formula" role="img" aria-label="{html.escape(tex)}" viewBox="0 {-top:.0f} {width:.0f} {top + depth:.0f}" '
        f'style="width:{width * em:.3f}em;height:{(top + depth) * em:.3f}em;vertical-align:{-depth * em:.3f}em">'
        f'<path d="{"".join(pieces)}"/></svg>'
    )


@dataclass(frozen=True)
class Exhibit:
    """A picture or a table with its caption: what a section shows."""

    content: Markup
    caption: str = ""


@dataclass(frozen=True)
class Section:
    """What a part shows on the tour's page.

    title: the finding; claim: one or two sentences; exhibits: pictures and tables; numbers: (what, value with unit);
    command: what to type to get the same; notes: what the person at the keyboard should know, which is not on the page.
    """

    title: str
    claim: str
    exhibits: list[Exhibit] = field(default_factory=list)
    numbers: list[tuple[str, str]] = field(default_factory=list)
    command: str = ""
    notes: list[str] = field(default_factory=list)

    def to_json(self) -> str:
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Section:
        """The inverse of to_json, for the tour's own child processes (their content is trusted as HTML)."""
        raw: dict[str, Any] = json.loads(text)
        exhibits = [Exhibit(Markup(e["content"]), e["caption"]) for e in raw.pop("exhibits")]
        numbers = [(str(a), str(b)) for a, b in raw.pop("numbers")]
        return cls(**raw, exhibits=exhibits, numbers=numbers)

    def html(self, anchor: str, command_label: str = "Get the same:") -> Markup:
        """The section as HTML."""
        facts = [tag("div", tag("dt", what), tag("dd", value)) for what, value in self.numbers]
        return tag(
            "section",
            tag("h2", self.title),
            tag("p", self.claim, class_="claim"),
            tag("dl", *facts, class_="numbers") if facts else Markup(""),
            *(exhibit_html(exhibit) for exhibit in self.exhibits),
            tag("p", command_label, tag("br"), tag("code", self.command), class_="command") if self.command else Markup(""),
            id=anchor,
        )


@dataclass(frozen=True)
class GalleryEntry:
    """A page of the gallery by name.

    place: "module:function"; titles and summaries by locale, for the index; essay: the address of its source; names: what to
    import to go on.
    """

    place: str
    titles: dict[str, str]
    summaries: dict[str, str]
    essay: str = ""
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class GalleryPage:
    """One page of the gallery.

    script: its only program; style: rules beyond the common ones; notice: origin and licence of its data; still: what the script
    draws at first (`thalweg.knobs.at_rest`).
    """

    title: str
    lead: str
    body: list[Markup]
    script: str = ""
    style: str = ""
    notice: Markup | None = None
    still: dict[str, dict[str, str]] = field(default_factory=dict)


def exhibit_html(exhibit: Exhibit) -> Markup:
    caption = tag("figcaption", exhibit.caption) if exhibit.caption else Markup("")
    return tag("figure", exhibit.content, caption)


@functools.cache
def _common_style() -> str:
    return (Path(__file__).parent / "page.css").read_text(encoding="utf-8").strip()


def document(
    title: str,
    body: Iterable[object],
    *,
    locale: str = "en",
    script: str = "",
    top: object = "",
    footer: object = "",
    style: str = "",
) -> str:
    """A whole page. `script` is the page's only program; nothing else on it runs, and no request leaves it.

    locale: "en" or "zh", the language of the page; top, footer: content of <nav> and <footer>;
    style: rules beyond the common ones.
    """
    script = script.strip()
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    # style attributes inside SVG pictures need 'unsafe-inline' for styles; a style can neither load nor run anything here
    scripts = f"'sha256-{digest}'" if script else "'none'"
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src {scripts}; img-src data:"
    policy += "; base-uri 'none'; form-action 'none'"
    language = {"en": "en", "zh": "zh-Hans"}[locale]
    head = join([
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="referrer", content="no-referrer"),
        tag("title", title),
        tag("style", Markup(_common_style() + style)),
    ])  # fmt: skip
    code = Markup(f"<script>{script}</script>") if script else Markup("")
    parts = [tag("nav", top) if top else "", tag("main", *body), tag("footer", footer) if footer else "", code]
    return f'<!doctype html>\n<html lang="{language}"><head>{head}</head>\n<body>{join(parts)}</body></html>\n'
