"""What the script of each gallery page draws at first, kept beside the page for readers without scripts: python scripts/stills.py

Opens every page twice in Chromium (Playwright), with scripts and without, and writes what differs to NAME.still.json.
A test compares the files with what the pages draw; run this after a change of a page.
"""

from __future__ import annotations

import importlib
import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, sync_playwright

from thalweg import gallery
from thalweg.page import GalleryPage

SEEN = """() => {
  const told = e => Object.fromEntries([...e.attributes].filter(a => a.name !== "id").map(a => [a.name, a.value]));
  const named = [...document.querySelectorAll("[id]")].filter(e => e.tagName !== "SCRIPT");
  return Object.fromEntries(named.map(e => [e.id, { ...told(e), "": e.innerHTML }]));
}"""
Seen = dict[str, dict[str, str]]


def drawn(browser: Browser, path: Path) -> Seen:
    """What the page at `path`, made without its still, has after its script that it did not have before: id -> changes."""
    before, after = (_seen(browser, path, scripts) for scripts in (False, True))
    changes = {name: {key: value for key, value in now.items() if before[name].get(key) != value} for name, now in after.items()}
    return {name: change for name, change in changes.items() if change}


def _seen(browser: Browser, path: Path, scripts: bool) -> Seen:
    context = browser.new_context(java_script_enabled=scripts)
    page = context.new_page()
    page.goto(path.as_uri())
    found: Seen = page.evaluate(SEEN)
    context.close()
    return found


def bare(name: str, locale: str) -> str:
    """The page without its still."""
    module, _, function = gallery.pages()[name].place.partition(":")
    page: GalleryPage = getattr(importlib.import_module(module), function)(locale)
    return gallery.render(name, replace(page, still={}), locale)


def still(browser: Browser, name: str) -> dict[str, Seen]:
    """Of both languages: what is the same stands under "all"."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "page.html"
        found: dict[str, Seen] = {}
        for locale in gallery.LOCALES:
            path.write_text(bare(name, locale), encoding="utf-8")
            found[locale] = drawn(browser, path)
    one, other = found.values()
    common = {
        element: {key: value for key, value in one[element].items() if other[element].get(key) == value}
        for element in one.keys() & other.keys()
    }
    kept: dict[str, Seen] = {"all": {element: common[element] for element in sorted(common) if common[element]}}
    for locale, changes in found.items():
        own = {e: {k: v for k, v in change.items() if k not in common.get(e, {})} for e, change in sorted(changes.items())}
        kept[locale] = {element: change for element, change in own.items() if change}
    return kept


def place(name: str) -> Path:
    """Where the still of a page is kept."""
    module: Any = importlib.import_module(gallery.pages()[name].place.partition(":")[0])
    return Path(module.__file__).with_suffix(".still.json")


def main() -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        for name in gallery.pages():
            text = json.dumps(still(browser, name), ensure_ascii=False, indent=0, sort_keys=True)
            place(name).write_text(text + "\n", encoding="utf-8")
            print(place(name), len(text))


if __name__ == "__main__":
    main()
