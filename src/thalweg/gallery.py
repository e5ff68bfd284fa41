"""`thalweg gallery`: pages with knobs to turn, one self-contained file each, in English and Chinese.

A page is a function `page(locale) -> GalleryPage`, entered in PAGES. What its script computes has a twin in Python, and a test that
compares the two. The exported folder works from file:// and loads nothing.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path

import click

from thalweg import options
from thalweg.console import Console
from thalweg.files import check_output, manifest_of, write_pages
from thalweg.page import GalleryPage, Markup, document, join, tag
from thalweg.version import __version__

KIND = "thalweg-gallery"
LOCALES = ("en", "zh")


@dataclass(frozen=True)
class Entry:
    """place: "module:function"; titles and summaries by locale, for the index."""

    place: str
    titles: dict[str, str]
    summaries: dict[str, str]


PAGES: dict[str, Entry] = {
    "words-pmi": Entry(
        "thalweg.words.gallery.pmi:page",
        {"en": "Why the inner product must be mutual information", "zh": "为什么内积必须是互信息"},
        {
            "en": "One requirement leaves one function. And: related is not similar; ask real vectors.",
            "zh": "一个要求只留下一个函数。还有：相关不是相似，请向真实的词向量提问。",
        },
    ),
    "optim-momentum": Entry(
        "thalweg.optim.gallery.momentum:page",
        {"en": "From gradient descent to momentum", "zh": "从梯度下降到动量"},
        {
            "en": "Flow and steps, barriers, the temperature of a batch, one dial for rate and momentum, Nesterov, stability.",
            "zh": "梯度流与步、势垒、批的温度、学习率与动量的同一个旋钮、Nesterov、稳定性。",
        },
    ),
    "optim-custom": Entry(
        "thalweg.optim.gallery.custom:page",
        {"en": "An optimizer of your own", "zh": "自己写一个优化器"},
        {
            "en": "A rule and what it compiles to; race it; soft batches, Heun's method, gradients by hand.",
            "zh": "一个规则和它编译成的程序；让它参加竞赛；软 batch、Heun 方法、手写梯度。",
        },
    ),
    "optim-adaptive": Entry(
        "thalweg.optim.gallery.adaptive:page",
        {"en": "Adaptive rates as error control", "zh": "自适应学习率就是误差控制"},
        {
            "en": "A gauge for Euler's error; one rate or one for each coordinate; what never stops, and what stops too early.",
            "zh": "欧拉法误差的量表；共用一个学习率还是每个坐标一个；什么停不下来，什么停得太早。",
        },
    ),
}

TEXT = {
    "en": {
        "title": "thalweg, the gallery",
        "lead": "Pages with knobs to turn. Each is a single file; nothing is loaded from elsewhere.",
        "home": "gallery",
        "made": "Made by thalweg {version}.",
        "other": "中文",
    },
    "zh": {
        "title": "thalweg 画廊",
        "lead": "可以动手调节的页面。每页是一个独立文件，不从外部加载任何内容。",
        "home": "画廊",
        "made": "由 thalweg {version} 生成。",
        "other": "English",
    },
}


def file_name(page: str, locale: str) -> str:
    return f"{page}.html" if locale == "en" else f"{page}.{locale}.html"


def build() -> dict[str, str]:
    """All pages: file name -> HTML."""
    pages = {file_name("index", locale): _index(locale) for locale in LOCALES}
    for name, entry in PAGES.items():
        module, _, function = entry.place.partition(":")
        for locale in LOCALES:
            page: GalleryPage = getattr(importlib.import_module(module), function)(locale)
            pages[file_name(name, locale)] = _render(name, page, locale)
    return pages


def _render(name: str, page: GalleryPage, locale: str) -> str:
    body = [tag("h1", page.title), tag("p", page.lead, class_="lead"), *page.body]
    footer = join([*([tag("p", page.notice)] if page.notice else []), tag("p", TEXT[locale]["made"].format(version=__version__))])
    return document(page.title, body, locale=locale, script=page.script, style=page.style, top=_top(name, locale), footer=footer)


def _index(locale: str) -> str:
    text = TEXT[locale]
    cards = [
        tag("div", tag("h3", tag("a", entry.titles[locale], href=file_name(name, locale))), tag("p", entry.summaries[locale]))
        for name, entry in PAGES.items()
    ]
    body = [tag("h1", text["title"]), tag("p", text["lead"], class_="lead"), tag("div", *cards, class_="cards")]
    footer = text["made"].format(version=__version__)
    return document(text["title"], body, locale=locale, top=_top("index", locale), footer=footer)


def _top(name: str, locale: str) -> Markup:
    other = LOCALES[1 - LOCALES.index(locale)]
    home = tag("a", "thalweg", href=file_name("index", locale), class_="brand")
    return join([home, tag("a", TEXT[locale]["other"], href=file_name(name, other), class_="end", hreflang=other)])


@click.group(
    "gallery",
    cls=options.Group,
    invoke_without_command=True,
    examples=["thalweg gallery", "thalweg gallery export pages"],
)
@options.locale_option
@options.quiet_option
@click.pass_context
def command(context: click.Context, locale: str, quiet: bool) -> None:
    """Pages with knobs to turn: write them to ./gallery and open them in a browser.

    Pages that are there already, made by this version, are opened as they are.
    """
    if context.invoked_subcommand is not None:
        return
    import webbrowser

    console = Console(quiet=quiet, command="gallery")
    out = Path("gallery")
    manifest = manifest_of(out)
    if manifest.get("format") != KIND or manifest.get("thalweg") != __version__ or not (out / file_name("index", locale)).exists():
        write_pages(out, KIND, 1, build(), overwrite=manifest.get("format") == KIND)
    start = (out / file_name("index", locale)).resolve()
    console.result(str(start), str(start))
    if not webbrowser.open(start.as_uri()):
        console.note("no browser was found: open the page above")


@command.command("export", cls=options.Command, examples=["thalweg gallery export pages"])
@click.argument("folder", type=options.Folder(), metavar="DIR")
@options.overwrite_option
@options.json_option
@options.quiet_option
def export(folder: Path, overwrite: bool, json: bool, quiet: bool) -> None:
    """Write the pages to a directory. Each file works on its own, from file:// too."""
    check_output(folder, overwrite)
    pages = build()
    write_pages(folder, KIND, 1, pages, overwrite)
    console = Console(json=json, quiet=quiet, command="gallery export")
    console.result({"out": folder, "pages": sorted(pages)}, "\n".join(str(folder / name) for name in sorted(pages)))
