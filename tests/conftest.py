"""What the tests share: hypothesis's profiles, the browser, the folder of real data.

Nothing heavy is imported here: each worker of pytest-xdist would pay for it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

os.environ.setdefault("KERAS_BACKEND", "torch")  # Keras' own default needs TensorFlow

# Every machine is a bare one to the tests: no home that can be written to, no language, no cache but what the tests make.
CACHE = Path(__file__).parent.parent / ".pytest_cache"
os.environ |= {
    "HOME": "/dev/null",
    "LC_ALL": "C",
    "THALWEG_CACHE": str(CACHE / "kernels"),
    "MPLCONFIGDIR": str(CACHE / "matplotlib"),
}
for name in ("LANG", "LANGUAGE", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"):
    os.environ.pop(name, None)

# A slow machine fails no test: neither a deadline nor the check of how long examples take to make.
PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("default", PATIENT, max_examples=50, derandomize=True)
settings.register_profile("fuzz", PATIENT, max_examples=2500, derandomize=False)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


@pytest.fixture(autouse=True)
def _no_fonts_of_this_machine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures are drawn as on a machine without Chinese fonts; a test that wants them asks for `machine_fonts`."""
    if "machine_fonts" not in request.fixturenames:
        monkeypatch.setattr("thalweg.fonts.cjk_family", _no_family)


def _no_family() -> None:
    """None, as on a machine without Chinese fonts."""


@pytest.fixture
def machine_fonts() -> Iterator[None]:
    """The fonts that this machine has; skipped where none of them has Chinese characters."""
    from thalweg import fonts, style

    caches = (fonts.here, fonts.cjk_family, style._settings)

    def forget() -> None:
        for cached in caches:
            cached.cache_clear()

    forget()
    try:
        if fonts.cjk_family() is None:
            pytest.skip("no font with Chinese characters: apt-get install fonts-noto-cjk")
        yield
    finally:
        forget()


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder with the real corpora."""
    if not os.environ.get("THALWEG_DATA"):
        pytest.skip("THALWEG_DATA is not set: it names the folder with the real corpora")
    return Path(os.environ["THALWEG_DATA"])


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of the browser, as `thalweg doctor` finds it: CHROMIUM, or the first on PATH."""
    from thalweg.doctor import _browser

    path = _browser()
    if path is None:
        pytest.skip("no browser: install chromium, or name one in CHROMIUM")
    pytest.importorskip("playwright", reason="playwright is not installed: pip install playwright")
    return path


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    """A running browser. One per module: while playwright runs, asyncio is not free for others."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium)
        yield running
        running.close()


@dataclass
class Visit:
    """A file opened in the browser. complaints: what the console, the page or a failed request said; requests: their addresses."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def overflow(self) -> int:
        """Pixels by which the page is wider than the window."""
        width: int = self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        return width


@pytest.fixture
def visit(browser: Browser) -> Iterator[Callable[..., Visit]]:
    """visit(path, width=1280) -> Visit. A page that asks for anything but pages of its folder, or complains, fails the test."""
    visits: list[tuple[Path, Visit]] = []

    def open_page(path: Path, width: int = 1280) -> Visit:
        page = browser.new_page(viewport={"width": width, "height": 800})
        seen = Visit(page)
        visits.append((path, seen))
        page.on("request", lambda request: seen.requests.append(request.url))
        page.on("requestfailed", lambda request: seen.complaints.append(f"failed: {request.url}"))
        page.on("console", lambda message: seen.complaints.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: seen.complaints.append(f"error: {error}"))
        page.on("dialog", lambda dialog: (seen.complaints.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        page.goto(path.as_uri())
        return seen

    yield open_page
    for path, seen in visits:
        seen.page.close()
        assert seen.complaints == []
        assert [url for url in seen.requests if not url.startswith(path.parent.as_uri())] == []


class _References(HTMLParser):
    """Collects every address in a document that a browser would follow or load."""

    LOADING = ("src", "href", "xlink:href", "srcset", "poster", "data", "action", "formaction", "background", "ping", "manifest")

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in self.LOADING:
                self.found.append(value or "")
            elif name == "style":
                self.handle_data(value or "")
            elif name == "http-equiv" and (value or "").lower() == "refresh":
                self.found.append("refresh")

    def handle_data(self, data: str) -> None:
        self.found += re.findall(r"url\(\s*[\"']?([^)\"']*)", data) if self.cdata_elem != "script" else []
        self.found += re.findall(r"@import[^;]*", data) if self.cdata_elem == "style" else []


@pytest.fixture(scope="session")
def references() -> Callable[[str], list[str]]:
    """references(html) -> the addresses in it that lead out of the document (all but #anchors)."""

    def find(text: str) -> list[str]:
        parser = _References()
        parser.feed(text)
        parser.close()
        return [address for address in parser.found if not address.startswith("#")]

    return find


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Two threads of torch on a busy machine wait for each other at every small operation."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
