"""The tour's words section: its map, its keywords and its lengths are those of the text that it is given."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from thalweg import words
from thalweg.page import Section
from thalweg.words import tour
from thalweg.words.pictures import tour_figures
from thalweg.words.vectors.stopwords import STOPWORDS

TOPICS = {
    "en": [
        "river stream valley bridge boat fish flows narrow deep banks water reed otter mill ferry island harbour delta",
        "cloud rain wind storm thunder falls heavy dark horizon weather hail frost snow fog breeze sunny warm cold",
        "market street house baker bread window early crowd square shop price coin cheese apple butcher stall noise cart",
    ],
    "zh": [
        "河流 山谷 桥梁 小船 流过 狭窄 两岸 渔民 洪水 湖泊 岛屿 港口 码头 瀑布 水库 鱼类 沙滩 海洋 渡口 水位",
        "天空 下雨 刮风 打雷 闪电 乌云 天气 寒冷 太阳 温度 下雪 冰雹 气候 潮湿 干旱 台风 暴雨 温暖 炎热 气象",
        "市场 街道 房屋 面包 窗户 早晨 人群 广场 商店 居民 价格 苹果 顾客 市民 商人 银行 货币 餐厅 邮局 建筑",
    ],
}
LENGTH = 70  # tokens of a paragraph, a third of them stop words


def paragraphs(locale: str) -> str:
    chance = random.Random(0)
    dull = {"en": "the of and to in that with from which for was as", "zh": "的 了 在 是 和 与 以 为 于 而 其 之"}[locale].split()
    lines = []
    for _ in range(400):
        line = chance.choice(TOPICS[locale]).split() * 3
        chosen = chance.sample(line, LENGTH - LENGTH // 3) + chance.choices(dull, k=LENGTH // 3)
        chance.shuffle(chosen)
        lines.append((" " if locale == "en" else "").join(chosen))
    return "\n".join(lines)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Section]:
    """made(locale) -> the section of a text of paragraphs, each about one of three topics."""
    found: dict[str, Section] = {}

    def make(locale: str) -> Section:
        if locale not in found:
            path: Path = tmp_path_factory.mktemp(locale) / "text.txt"
            path.write_text(paragraphs(locale), encoding="utf-8")
            found[locale] = tour.section(locale=locale, corpus=str(path))
        return found[locale]

    return make


both_locales = pytest.mark.parametrize("locale", ["en", "zh"])


def exhibit(section: Section, text: str) -> str:
    found: list[str] = [each.content for each in section.exhibits if text in each.content]
    assert len(found) == 1
    return found[0]


@both_locales
def test_the_keywords_of_a_paragraph_are_of_its_topic(made, locale):
    """Five of them, by falling sum of mutual information, each in bold where it stands, none a stop word."""
    content = exhibit(made(locale), tour.TEXT[locale]["keyword"] + "</th>")
    rows = re.findall(r"<tr><td>([^<]*)</td><td>([^<]*)</td><td>([^<]*)</td></tr>", content)
    quoted = content.split("</p>")[0]
    names = [word for word, _, _ in rows]
    assert len(rows) == 5
    assert not set(names) & set(STOPWORDS[locale])
    assert sum(set(names) <= set(topic.split()) for topic in TOPICS[locale]) == 1
    scores = [float(score) for _, _, score in rows]
    assert scores == sorted(scores, reverse=True)
    assert set(re.findall("<strong>(.*?)</strong>", quoted)) <= set(names)


def test_a_chinese_paragraph_has_no_spaces_between_its_characters(made):
    quoted = exhibit(made("zh"), "关键词</th>").split("</p>")[0]
    assert "<strong>" in quoted
    assert re.search("[\u3400-\u9fff] [\u3400-\u9fff]", re.sub("<[^>]*>", "", quoted)) is None


@both_locales
def test_the_pictures_speak_the_language_of_the_page(made, locale):
    """Titles, axes and what is read out; the map's words are there as text."""
    section, text = made(locale), tour.TEXT[locale]
    pictures = [each.content for each in section.exhibits if each.content.startswith("<svg")]
    assert len(pictures) == 4
    cloud = next(picture for picture in pictures if text["length_title"] in picture)
    assert text["rarity"] in cloud
    assert text["norm"] in cloud
    title = text["map_title"].removeprefix("{n}")
    drawn = next(picture for picture in pictures if title in picture)
    names = re.findall(r">([^<>]+)</text>", drawn)
    assert len(set(names) & set(" ".join(TOPICS[locale]).split())) >= 10  # words of one topic lie so close that few names find room
    for picture in pictures:
        assert re.match('<svg role="img" aria-label="[^"]{10,}"', picture)


@both_locales
def test_the_correlation_of_length_and_rarity_is_that_of_importance(made, locale):
    numbers = dict(made(locale).numbers)
    shown = float(numbers[tour.TEXT[locale]["spearman"]])
    assert -1 <= shown <= 1
    assert f"{shown:.3f}" in "".join(each.caption for each in made(locale).exhibits)


def vectors(n: int) -> words.WordVectors:
    rng = np.random.default_rng(0)
    table = rng.standard_normal((n, 4)).astype(np.float32) * np.arange(1, n + 1, dtype=np.float32)[:, None]
    return words.WordVectors([f"word{k:03}" for k in range(n)], np.arange(n, 0, -1), table, table)


def test_a_handful_of_words_makes_no_map_and_no_cloud():
    text = tour.TEXT["en"]
    assert tour_figures.word_map(vectors(7), text) is None
    assert tour_figures.lengths(vectors(7), [], text) is None
    assert tour_figures.word_map(vectors(9), text) is not None


def test_words_that_are_markup_or_formulas_are_named_as_they_are():
    """A dollar sign would start a formula of matplotlib's, which fails; an angle bracket would start an element."""
    wv = vectors(20)
    wv.words[:3] = ["$\\frac{", "<script>", "a$b$"]
    wv.index.clear()
    wv.index.update({word: place for place, word in enumerate(wv.words)})
    found = tour_figures.lengths(wv, wv.words[:3], tour.TEXT["en"])
    assert found is not None
    assert "<script>" not in found[1].content
    assert "&lt;script&gt;" in found[1].content
