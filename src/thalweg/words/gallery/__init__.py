"""Pages of the gallery. What a page's script computes has a twin in Python, and a test that compares both."""

from __future__ import annotations

from thalweg.page import GalleryEntry

PAGES = {
    "words-pmi": GalleryEntry(
        "thalweg.words.gallery.pmi:page",
        {"en": "Why the inner product must be mutual information", "zh": "为什么内积必须是互信息"},
        {
            "en": "One requirement leaves one function. And: related is not similar; ask real vectors.",
            "zh": "一个要求只留下一个函数。还有：相关不是相似，请向真实的词向量提问。",
        },
        essay="https://kexue.fm/archives/4667",
        names=("thalweg.words.fit", "thalweg.words.reference"),
    ),
}
