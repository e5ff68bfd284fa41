"""`thalweg gallery`: pages with knobs to turn, one self-contained file each, in English and Chinese.

A page is a function `page(locale) -> GalleryPage`, entered in the PAGES of its part's gallery. The exported folder works from
file:// and loads nothing.
"""

from __future__ import annotations

import importlib
from pathlib import Path

import click

from thalweg import options
from thalweg.console import Console
from thalweg.files import check_output, manifest_of, write_pages
from thalweg.knobs import at_rest
from thalweg.page import GalleryEntry, GalleryPage, Markup, document, join, tag
from thalweg.parts import PARTS
from thalweg.version import __version__

KIND = "thalweg-gallery"
LOCALES = ("en", "zh")


TEXT = {
    "en": {
        "title": "thalweg, the gallery",
        "lead": "Pages with knobs to turn. Each is a single file; nothing is loaded from elsewhere.",
        "home": "gallery",
        "made": "Made by thalweg {version}.",
        "other": "中文",
        "still": "These pictures are drawn by the page's own script, which does not run here: they stand at their first settings.",
        "next": "Next: ",
        "essay": "The essay: ",
        "names": "In Python: ",
    },
    "zh": {
        "title": "thalweg 画廊",
        "lead": "可以动手调节的页面。每页是一个独立文件，不从外部加载任何内容。",
        "home": "画廊",
        "made": "由 thalweg {version} 生成。",
        "other": "English",
        "still": "图由本页自带的脚本绘制，这里没有运行脚本：图停在最初的设置。",
        "next": "下一页：",
        "essay": "原文：",
        "names": "在 Python 中：",
    },
}


def pages() -> dict[str, GalleryEntry]:
    """The pages of all parts, by name."""
    found: dict[str, GalleryEntry] = {}
    for part in PARTS.values():
        found |= importlib.import_module(f"{part.home}.gallery").PAGES
    return found


def file_name(page: str, locale: str) -> str:
    return f"{page}.html" if locale == "en" else f"{page}.{locale}.html"


def build() -> dict[str, str]:
    """All pages: file name -> HTML."""
    made = {file_name("index", locale): _index(locale) for locale in LOCALES}
    for name, entry in pages().items():
        module, _, function = entry.place.partition(":")
        for locale in LOCALES:
            page: GalleryPage = getattr(importlib.import_module(module), function)(locale)
            made[file_name(name, locale)] = render(name, page, locale)
    return made


def render(name: str, page: GalleryPage, locale: str) -> str:
    text, body = TEXT[locale], [at_rest(part, page.still) for part in page.body]
    still = tag("noscript", tag("p", text["still"], class_="missing")) if page.script else Markup("")
    body = [tag("h1", page.title), tag("p", page.lead, class_="lead"), still, *body, _onward(name, locale)]
    footer = join([*([tag("p", page.notice)] if page.notice else []), tag("p", TEXT[locale]["made"].format(version=__version__))])
    return document(page.title, body, locale=locale, script=page.script, style=page.style, top=_top(name, locale), footer=footer)


def _onward(name: str, locale: str) -> Markup:
    """Where a reader goes from here: the essay, the names to import, the next page."""
    found, text = pages(), TEXT[locale]
    names, entry = list(found), found[name]
    following = names[(names.index(name) + 1) % len(names)]
    ways = [
        *([tag("li", text["essay"], tag("a", entry.essay, href=entry.essay))] if entry.essay else []),
        *([tag("li", text["names"], *(part for each in entry.names for part in (tag("code", each), " ")))] if entry.names else []),
        tag("li", text["next"], tag("a", found[following].titles[locale], href=file_name(following, locale))),
    ]
    return tag("ul", *ways, class_="onward")


def _index(locale: str) -> str:
    text = TEXT[locale]
    cards = [
        tag("div", tag("h3", tag("a", entry.titles[locale], href=file_name(name, locale))), tag("p", entry.summaries[locale]))
        for name, entry in pages().items()
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
    made = build()
    write_pages(folder, KIND, 1, made, overwrite)
    console = Console(json=json, quiet=quiet, command="gallery export")
    console.result({"out": folder, "pages": sorted(made)}, "\n".join(str(folder / name) for name in sorted(made)))
