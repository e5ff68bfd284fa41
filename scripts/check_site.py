"""Check a built site or exported pages: python scripts/check_site.py FOLDER

Fails on a link inside the site that leads nowhere, and on anything that a browser would load from outside (scripts, styles,
pictures, fonts, url(...), fetch). Links that a reader may click are free to leave. Standard library only.
"""

import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADS = {
    "script": "src",
    "img": "src",
    "iframe": "src",
    "source": "src",
    "audio": "src",
    "video": "src",
    "embed": "src",
    "object": "data",
}
LOADING_LINKS = {"stylesheet", "icon", "preload", "prefetch", "modulepreload", "preconnect", "dns-prefetch", "manifest"}
OUTSIDE = re.compile(r"^(https?:)?//", re.I)
CODE_LOADS = re.compile(
    r"""(?:url\(\s*['"]?|@import\s+['"]|fetch\(\s*['"`]|importScripts\(\s*['"])((?:https?:)?//[^'"`)\s]+)""", re.I
)


class Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attributes}
        self.ids |= {values[name] for name in ("id", "name") if name in values}
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        if tag in LOADS and LOADS[tag] in values:
            self.loads.append(values[LOADS[tag]])
        if tag == "link" and LOADING_LINKS & set(values.get("rel", "").split()):
            self.loads.append(values.get("href", ""))


def faults(folder: Path) -> list[str]:
    pages: dict[Path, Page] = {}
    found: list[str] = []
    for path in sorted(folder.rglob("*")):
        if path.suffix in (".html", ".css", ".js"):
            text = path.read_text(encoding="utf-8")
            found += [f"{path}: loads {url}" for url in CODE_LOADS.findall(text)]
            if path.suffix == ".html":
                pages[path.resolve()] = page = Page()
                page.feed(text)
    for path, page in pages.items():
        found += [f"{path}: loads {url}" for url in page.loads if OUTSIDE.match(url)]
        for url in [*page.links, *page.loads]:
            parts = urlsplit(url)
            if parts.scheme or parts.netloc or url.startswith("data:"):
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if target.is_dir():
                target /= "index.html"
            if not target.exists():
                found.append(f"{path}: {url} leads nowhere")
            elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].ids:
                found.append(f"{path}: {url} names a place that is not there")
    if not pages:
        found.append(f"{folder} holds no HTML pages")
    return found


if __name__ == "__main__":
    problems = faults(Path(sys.argv[1]))
    print("\n".join(problems) or f"{sys.argv[1]}: every link leads somewhere, nothing is loaded from outside")
    sys.exit(1 if problems else 0)
