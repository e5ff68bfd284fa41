"""Chinese: cut by jieba's dictionary on its way into the automaton; which texts are taken as Chinese."""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path
from unicodedata import category, normalize

import pytest
import rjieba
from hypothesis import example, given
from hypothesis import strategies as st

from thalweg.errors import InputError, MissingExtraError, MissingFileError
from thalweg.words.text import corpus
from thalweg.words.text.chinese import converter
from thalweg.words.text.reading import Tokens, detect, read, words_of

# frequent characters, whose runs hold many words; digits, Latin, full-width forms, punctuation, line ends
ALPHABET = "的一是在不了有和人这中大为上个国我以要他时来用们生到作地于出就分对成会可主发年动同工也能下过子说产种面而方后多定行学法所民得经十三之进着等部度家电力里如水化高自二理起小物现实加量都两体制机当使点从业本去把性好应开它合还因由其些然前外天政四日那社义事平形相全表间样与关各重新线内数正心反你明看原又么利比或但质气第向道命此变条只没结解问意建月公无系军很情者最立代想已通并提直题党程展五果料象员革位入常文总次品式活设及管特件长求老头基资边流路级少图山统接知较将组见计别她手角期根论运农指几九区强放决西被干做必战先回则任取据处队南给色光门即保治北造百规热领七海口东导器压志世金增争济阶油思术极交受联什认六共权收证改清己美再采转更单风切打白教速花带安场身车例真务具万每目至达走积示议声报斗完类八离华名确才科张信马节话米整空元况今集温传土许步群广石记需段研界拉林律叫且究观越织装影算低持音众书布复容儿须际商非验连断深难近矿千周委素技备半办青省列习响约支般史感劳便团往酸历市克何除消构府称太准精值号率族维划选标写存候毛亲快效斯院查江型眼王按格养易置派层片始却专状育厂京识适属圆包火住调满县局照参红细引听该铁价严"  # noqa: E501
TEXTS = st.lists(st.text(ALPHABET + "abAB01 　。，“”Ａ０" * 3, max_size=40), max_size=12).map("\n".join)


def stream(tokens: Tokens) -> list[str | None]:
    return [tokens.words[k] if k >= 0 else None for k in tokens.ids]


def low(ch: str) -> str:
    return ch.lower() if len(ch.lower()) == 1 else ch


def words(text: str) -> list[str]:
    return "".join(low(ch) if category(ch)[0] in "LMN" else " " for ch in text).split()


def fold(text: str) -> str:
    """Full-width digits and Latin letters as ASCII (they are 0xFEE0 above)."""
    return re.sub("[０-９Ａ-Ｚａ-ｚ]", lambda match: chr(ord(match[0]) - 0xFEE0), text)


def reference(text: str) -> list[str | None]:
    """Every line through the dictionary, without the model for unknown words; every piece through the definition of a word."""
    lines = [[w for piece in rjieba.cut(fold(line), False) for w in words(piece)] for line in text.split("\n")]
    return [word for line in lines if line for word in [*line, None]]


def read_bytes(data: bytes, block: int, **options: object) -> Tokens:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(corpus, "BLOCK", block)
        patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        return read("-", min_count=1, **options)  # type: ignore[arg-type]


@given(TEXTS, st.integers(40, 200))
def test_chinese_is_cut_as_the_dictionary_does_wherever_the_blocks_end(text: str, block: int) -> None:
    text = f"机场 火车站\n{text}"
    tokens = read_bytes(text.encode(), block, language="zh")
    assert stream(tokens) == reference(text)
    assert tokens.report.tokenizer.startswith("rjieba ")


@given(
    st.lists(st.text(ALPHABET + "a \n", max_size=30).map(str.encode) | st.sampled_from([b"\xff", b"\x80", b"\xe9\xa3", b"\xf0"]))
)
@example(["飞机".encode(), b"\xe9\xa3", "场".encode()])
def test_undecodable_bytes_in_chinese_separate_and_are_counted(pieces: list[bytes]) -> None:
    data = "机场 火车站 飞机 公里 我们\n".encode() * 20 + b"".join(pieces)  # enough text not to be binary
    bad = re.compile("[\udc80-\udcff]")
    decoded = data.decode("utf-8", "surrogateescape")
    tokens = read_bytes(data, 101, language="zh")
    assert stream(tokens) == reference(bad.sub(" ", decoded))
    assert tokens.report.bad_bytes == len(bad.findall(decoded))


def test_no_word_is_invented() -> None:
    """A name that the dictionary lacks stays in single characters (the model for unknown words would join them)."""
    assert words_of("杭研大厦", "zh") == ["杭", "研", "大厦"]
    assert words_of("机场 - 飞机 + 火车", "zh") == ["机场", "飞机", "火车"]


def test_full_width_letters_and_digits_are_folded() -> None:
    assert words_of("Ｔ恤 ２０２０年 ＡＢｃ", "zh") == ["t恤", "2020", "年", "abc"]


@pytest.mark.parametrize(
    "word", ["Zürich", "café", "Москва", "한국어", "naïve", "Ελλάδα", "word2vec", "2020", "cafe\u0301", "हिन्दी"]
)
def test_words_of_other_scripts_stay_whole_in_chinese_text(word: str) -> None:
    """Only runs of Han go through the dictionary: "digits and Latin letters outside Han runs follow `words`"."""
    assert words_of(f"他住在{word}的家里", "zh") == ["他", "住", "在", normalize("NFC", word.lower()), "的", "家里"]


def test_texts_in_a_list_are_segmented_one_by_one() -> None:
    tokens = read(["机场\n飞机", "场", "机场"], language="zh", min_count=1)
    assert stream(tokens) == ["机场", None, "飞机", None, "场", None, "机场", None]


# Which language


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("", "words"),
        ("just words", "words"),
        ("飞机", "zh"),
        ("飞" + "abcd", "words"),  # a fifth
        ("飞" + "abc", "zh"),  # a quarter
        ("飞" + "abcdefgh12345 ,.", "words"),
        ("飞" + "a" + "1234567890 ,.。" * 9, "zh"),  # only letters are counted
        ("ひらがなカタカナ", "words"),
    ],
)
def test_a_text_is_chinese_if_over_a_fifth_of_its_letters_are_han(text: str, language: str) -> None:
    assert detect(text) == language


def test_the_language_is_found_out_or_given(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("机场和飞机\n" * 5)
    assert read(tmp_path).report.language == "zh"
    assert read(tmp_path / "a.txt").words == ["和", "机场", "飞机"]
    assert read(["机场和飞机"] * 5).words == ["和", "机场", "飞机"]
    assert read(["机场和飞机 a"] * 5, language="words").words == ["a", "机场和飞机"]


@pytest.mark.parametrize("first", ["", "README\n", "Title: notes\n\n"])
@pytest.mark.parametrize("as_texts", [True, False])
def test_a_short_beginning_does_not_decide_the_language(tmp_path: Path, first: str, as_texts: bool) -> None:
    """The letters of the first MiB count, not those of the first file or text, which may be a title."""
    rest = "机场和飞机\n" * 50
    (tmp_path / "a.txt").write_text(first)
    (tmp_path / "b.txt").write_text(rest)
    tokens = read(iter([first, rest]) if as_texts else tmp_path)
    assert tokens.report.language == "zh"
    assert tokens.words == ["和", "机场", "飞机"]


# What a person may change


def test_split_latin_cuts_digits_and_latin_letters_into_characters() -> None:
    """As the source's program did; other scripts stay whole, and an accent is part of its letter."""
    cut = words_of("Ｔ恤2020年 é Zu\u0308rich 北京Москва", "zh", split_latin=True)
    assert cut == ["t", "恤", "2", "0", "2", "0", "年", "é", "z", "ü", "r", "i", "c", "h", "北京", "москва"]
    assert stream(read(["T恤 2020年 飞机"] * 2, language="zh", split_latin=True, min_count=1))[:8] == [
        "t", "恤", "2", "0", "2", "0", "年", "飞机"
    ]  # fmt: skip


def test_words_of_a_user_dictionary_are_cut_as_words(tmp_path: Path) -> None:
    """With a frequency, with a tag too, or without; they stay in this reading, and in the report as far as they occur."""
    (tmp_path / "user.txt").write_text("\ufeff杭研\n创新办 5 n\n\n没有的词 3\n")
    text = ["杭研大厦的创新办主任 大厦"] * 5
    assert "杭研" not in read(text).words
    tokens = read(text, user_dict=tmp_path / "user.txt")
    assert {"杭研", "创新办", "大厦"} <= set(tokens.words)
    assert tokens.report.user_words == [("杭研", None), ("创新办", 5)]
    assert words_of(text[0], "zh", user_words=tokens.report.user_words)[:4] == ["杭研", "大厦", "的", "创新办"]
    assert words_of("杭研大厦", "zh") == ["杭", "研", "大厦"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "holds no words"),
        ("词 x\n词 1 n m".encode(), r"line 2: '词 1 n m' is not 'word', 'word frequency' or 'word frequency tag'"),
        ("词 99999999999999999999".encode(), "line 1"),
        ("词".encode("gb18030"), r"is not UTF-8 \(byte 0\)"),
    ],
)
def test_a_user_dictionary_that_is_none_is_an_error(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "user.txt").write_bytes(content)
    with pytest.raises(InputError, match=message):
        read(["飞机 火车"], user_dict=tmp_path / "user.txt")
    with pytest.raises(MissingFileError, match="there is no file"):
        read(["飞机 火车"], user_dict=tmp_path / "nowhere")


def test_traditional_characters_are_converted_if_opencc_is_there() -> None:
    pytest.importorskip("opencc")
    assert words_of("漢語詞典", "zh", convert="t2s") == words_of("汉语词典", "zh")
    assert read(["飛機和機場"] * 5, convert="t2s").words == ["和", "机场", "飞机"]


def test_conversion_without_opencc_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    converter.cache_clear()
    monkeypatch.setitem(sys.modules, "opencc", None)
    with pytest.raises(MissingExtraError, match="needs the package opencc, which is not installed: pip install opencc"):
        read(["飛機和機場"] * 5, convert="t2s")


@pytest.mark.parametrize("option", [{"split_latin": True}, {"user_dict": "x"}, {"convert": "t2s"}])
def test_options_for_chinese_are_refused_for_other_languages(option: dict[str, object]) -> None:
    with pytest.raises(InputError, match="is for Chinese, not for language='words'"):
        read(["some words"], language="words", **option)


def test_the_language_of_a_text_does_not_depend_on_its_canonical_form():
    """Decomposed, a Korean syllable is two or three letters: the share of Han fell below a fifth, and the words were others."""
    text = "漢字 大韓 한국어 각각 값을 넣는다"
    assert detect(normalize("NFC", text)) == detect(normalize("NFD", text)) == "zh"
