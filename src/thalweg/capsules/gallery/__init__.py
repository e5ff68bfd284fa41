"""Pages of the gallery."""

from __future__ import annotations

from thalweg.page import GalleryEntry

PAGES: dict[str, GalleryEntry] = {}
