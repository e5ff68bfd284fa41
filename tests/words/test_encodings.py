"""What a file says of its encoding beats what somebody says of all; nothing is merged, and nothing replaced, without a word."""

from __future__ import annotations

import codecs
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from thalweg import words
from thalweg.cli import program
from thalweg.errors import InputError
from thalweg.words import CooccurrenceCounts, WordVectors, tour
from thalweg.words.judging import evaluation
from thalweg.words.text import encodings
from thalweg.words.text.corpus import Report, sources
from thalweg.words.text.reading import read, words_of

TEXT = "老师和学生在学校\n电脑和手机\n"
PAGE = '<html><head><meta charset="gbk"></head><body>{}</body></html>'


def run(*args: object) -> Any:
    return CliRunner().invoke(program, ["words", *map(str, args)])


def folder(path: Path) -> Path:
    """One text in each encoding of a folder that came together over the years."""
    files = {
        "utf8.txt": TEXT.encode(),
        "mark.txt": codecs.BOM_UTF8 + TEXT.encode(),
        "gbk.txt": TEXT.encode("gbk"),
        "utf16.txt": TEXT.encode("utf-16"),
        "utf32.txt": TEXT.encode("utf-32"),
        "late.txt": b"plain ascii\n" * 120_000 + TEXT.encode(),  # its encoding shows in the second MiB only
        "page.html": PAGE.format(TEXT).encode("gbk"),
        "ascii.txt": b"plain ascii\n",
    }
    path.mkdir(exist_ok=True)
    for name, data in files.items():
        (path / name).write_bytes(data)
    return path


def test_a_mixed_folder_is_read_file_by_file(tmp_path: Path) -> None:
    """--encoding gb18030, which the tool's own hint led to, made mojibake of every file that was UTF-8, with exit 0."""
    tokens = read(folder(tmp_path / "novels"), encoding="gb18030", language="zh", min_count=1)
    counted = dict(zip(tokens.words, tokens.counts.tolist(), strict=True))
    assert {word: counted.pop(word) for word in ("老师", "学生", "学校", "电脑", "手机")} == dict.fromkeys(
        ("老师", "学生", "学校", "电脑", "手机"), 7
    )
    assert set(counted) == {"plain", "ascii", "和", "在"}
    assert (tokens.report.skipped, tokens.report.bad_bytes) == ([], 0)
    assert tokens.report.encodings == {"utf-8": 4, "gb18030": 1, "gbk": 1, "utf-16": 1, "utf-32": 1}


def test_without_an_encoding_others_than_utf_8_are_named_with_the_way_on(tmp_path: Path) -> None:
    done = run("count", folder(tmp_path / "novels"), "--language", "zh", "--min-count", 1, "--out", tmp_path / "counts")
    for name, way in (("gbk.txt", "for example gb18030"), ("utf16.txt", "--encoding utf-16"), ("utf32.txt", "--encoding utf-32")):
        assert any(name in line and "left out" in line and way in line for line in done.stderr.splitlines()), done.stderr
    assert "老师" in CooccurrenceCounts.open(tmp_path / "counts").words


def test_the_encodings_of_a_mixed_folder_are_told(tmp_path: Path) -> None:
    done = run("count", folder(tmp_path / "novels"), "--encoding", "gb18030", "--min-count", 1, "--out", tmp_path / "counts")
    assert "different encodings: 4 in UTF-8" in done.stderr


def test_damaged_utf_8_is_not_taken_for_another_encoding(tmp_path: Path) -> None:
    """A byte that is gone from 3,000 characters: as GBK, all of them would become others."""
    (tmp_path / "text.txt").write_bytes(b"\xff" + TEXT.encode() * 200)
    tokens = read(tmp_path / "text.txt", encoding="gb18030", language="zh", min_count=1)
    assert "老师" in tokens.words
    assert tokens.report.bad_bytes == 1


def test_seven_bit_encodings_are_heard(tmp_path: Path) -> None:
    """ISO-2022-JP is ASCII byte by byte, and so it is valid UTF-8 too."""
    (tmp_path / "mail.txt").write_bytes("日本語 の 手紙 日本語\n".encode("iso2022_jp") * 5)
    assert "日本語" in read(tmp_path / "mail.txt", encoding="iso2022_jp", language="words", min_count=1).words


def test_utf_16_without_a_mark_is_recognised_by_its_zeros(tmp_path: Path) -> None:
    for name in ("utf-16-le", "utf-16-be"):
        (tmp_path / "text.txt").write_bytes(("plain text\n" * 50).encode(name))
        with pytest.raises(InputError, match=f"text in {name.upper()} without a mark: pass --encoding {name}"):
            read(tmp_path / "text.txt")
        assert read(tmp_path / "text.txt", encoding=name, min_count=1).words == ["plain", "text"]


def test_a_file_that_is_in_neither_encoding_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("good text\n" * 9)
    (tmp_path / "b.txt").write_bytes(bytes(range(128, 256)) * 50)
    tokens = read(tmp_path, encoding="euc-jp", min_count=1)
    assert [name.endswith("b.txt") for name, _ in tokens.report.skipped] == [True]
    assert "neither UTF-8 nor euc_jp" in tokens.report.skipped[0][1]


def test_latin_1_read_as_utf_8_names_the_option(tmp_path: Path) -> None:
    """Words broke at every umlaut, and nobody spoke of --encoding."""
    (tmp_path / "de.txt").write_bytes("die Straße führt über die Brücke zum Bahnhof\n".encode("latin-1") * 20)
    assert "--encoding" in run("count", tmp_path / "de.txt", "--min-count", 1, "--out", tmp_path / "counts").stderr


@given(
    st.lists(st.sampled_from([TEXT, "plain\n", "é ü\n"]), max_size=6), st.sampled_from(["gb18030", "utf-16", "utf-8", "latin-1"])
)
def test_utf_8_is_utf_8_whatever_is_asked_for(parts: list[str], given_encoding: str) -> None:
    """Blocks of any text in UTF-8 come out as they went in."""
    blocks = iter([(part.encode(), k) for k, part in enumerate(parts)])
    found = encodings.as_utf8(blocks, given_encoding, None, "it", Report())
    assert not isinstance(found, str)
    assert b"".join(text for text, _ in found) == "".join(parts).encode()


# ---- small files


def test_test_sets_and_dictionaries_take_an_encoding_too(tmp_path: Path) -> None:
    wv = words.fit([TEXT] * 6, min_count=1, dim=3, threads=1)
    pairs = "老师\t学生\t3\n电脑\t手机\t2\n学校\t学生\t1\n"
    for name, data in (("gbk", pairs.encode("gbk")), ("utf8", pairs.encode()), ("utf16", pairs.encode("utf-16"))):
        (tmp_path / name).write_bytes(data)
        assert wv.evaluate(pairs=[tmp_path / name], encoding="gbk").pairs[0].n_covered == 3
    with pytest.raises(InputError, match=r"gbk is not UTF-8 \(byte 0\): name its encoding with --encoding, such as gb18030"):
        wv.evaluate(pairs=[tmp_path / "gbk"])
    wv.save(tmp_path / "v")
    done = run("evaluate", tmp_path / "v", "--pairs", tmp_path / "gbk", "--encoding", "gbk", "--json", "--quiet")
    assert '"n_covered": 3' in done.stdout
    (tmp_path / "dict.txt").write_bytes("杭研大厦 5\n".encode("gbk"))
    corpus = ["杭研大厦在杭州"] * 5
    assert "杭研大厦" in read(corpus, user_dict=tmp_path / "dict.txt", encoding="gbk", language="zh", min_count=1).words
    with pytest.raises(InputError, match=r"dict.txt is not UTF-8 .* --encoding"):
        read(corpus, user_dict=tmp_path / "dict.txt", language="zh")


def test_the_tour_takes_an_encoding(tmp_path: Path) -> None:
    (tmp_path / "gbk.txt").write_bytes((TEXT * 20).encode("gbk"))
    made = tour.section(corpus=str(tmp_path / "gbk.txt"), encoding="gb18030", keep=str(tmp_path / "v"))
    assert made.numbers
    assert "老师" in WordVectors.load(tmp_path / "v")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_test_sets_may_end_their_lines_as_any_system_does(tmp_path: Path, end: str) -> None:
    (tmp_path / "pairs.txt").write_bytes(end.join(["a b 1", "b c 2", ""]).encode())
    assert len(evaluation.read_pairs(tmp_path / "pairs.txt").pairs) == 2


# ---- vectors and vocabularies


def vectors_file(path: Path, names: list[bytes]) -> Path:
    rows = [b"%b %d 1\n" % (name, k) for k, name in enumerate(names)]
    path.write_bytes(b"%d 2\n" % len(names) + b"".join(rows))
    return path


def test_words_that_are_not_utf_8_are_compared_before_they_are_replaced(tmp_path: Path) -> None:
    """Six words became one, and "came again", which they did not."""
    names = ["电脑", "手机", "电话"]
    file = vectors_file(tmp_path / "v.txt", [name.encode("gbk") for name in names])
    read_right = WordVectors.read(file, encoding="gb18030")
    assert read_right.words == names
    assert read_right.info["duplicates"] == 0
    with pytest.raises(InputError, match="3 of 3 words are not UTF-8: name the encoding with --encoding, such as gb18030"):
        WordVectors.read(file)
    done = run("import", file, "--encoding", "gb18030", "--out", tmp_path / "vec", "--quiet")
    assert (done.exit_code, WordVectors.load(tmp_path / "vec").words) == (0, names)


def test_a_few_damaged_words_are_told_apart_as_long_as_that_can_be(tmp_path: Path) -> None:
    names = [b"a", b"b", b"c", b"d\xff", b"d\xfe", b"a"]
    file = vectors_file(tmp_path / "v.txt", names)
    found = WordVectors.read(file)
    assert found.words == ["a", "b", "c", "d\ufffd"]
    assert {name: found.info[name] for name in ("duplicates", "replaced_tokens", "alike")} == {
        "duplicates": 1, "replaced_tokens": 2, "alike": 1
    }  # fmt: skip
    np.testing.assert_array_equal(found["d\ufffd"], [3, 1])
    told = run("import", file, "--out", tmp_path / "vec").stderr
    assert "1 word came again" in told
    assert "1 word then looked like another and was left out" in told.replace("were left out", "was left out")


def test_utf_8_vectors_stay_utf_8_whatever_is_asked_for(tmp_path: Path) -> None:
    file = vectors_file(tmp_path / "v.txt", [name.encode() for name in ("电脑", "手机", "x")])
    assert WordVectors.read(file, encoding="gb18030").words == ["电脑", "手机", "x"]


def test_text_in_utf_16_is_named_where_vectors_were_expected(tmp_path: Path) -> None:
    (tmp_path / "v.txt").write_bytes("2 2\na 1 2\nb 3 4\n".encode("utf-16"))
    with pytest.raises(InputError, match="text in UTF-16: save it as UTF-8"):
        WordVectors.read(tmp_path / "v.txt")


def test_a_vocabulary_of_gloves_takes_an_encoding(tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_bytes("电脑 5\n手机 3\n".encode("gbk"))
    record = np.array([(1, 2, 1.0), (2, 1, 1.0)], np.dtype([("w", "<i4"), ("c", "<i4"), ("v", "<f8")]))
    (tmp_path / "pairs.bin").write_bytes(record.tobytes())
    counts = CooccurrenceCounts.from_glove(tmp_path / "pairs.bin", tmp_path / "vocab.txt", encoding="gbk")
    assert counts.words == ["电脑", "手机"]
    with pytest.raises(InputError, match="2 of 2 words are not UTF-8"):
        CooccurrenceCounts.from_glove(tmp_path / "pairs.bin", tmp_path / "vocab.txt")
    glove = ("--from-glove", tmp_path / "pairs.bin", "--vocab", tmp_path / "vocab.txt", "--encoding", "gbk")
    assert run("count", *glove, "--out", tmp_path / "counts").exit_code == 0


# ---- records


class Frame:
    """What a table of pandas or polars has."""

    def __init__(self, *columns: str) -> None:
        self.columns = columns

    def __iter__(self) -> Any:
        return iter(self.columns)


@pytest.mark.parametrize(
    ("corpus", "remedy"),
    [
        ([{"text": "the harbour", "label": 1}] * 6, r"\[row\['text'\] for row in rows\]"),
        ([{"headline": "the harbour"}] * 6, r"\[row\['headline'\] for row in rows\]"),
        ([{"b", "a"}] * 6, "has no order"),
        ({"one text": 1, "another text": 2}, "a dict is none"),
        (Frame("id", "text"), r"corpus\['text'\]"),
    ],
)
def test_records_are_not_texts(corpus: Any, remedy: str) -> None:
    """The keys of each record became the corpus: 'text' and 'label' were the vocabulary."""
    with pytest.raises(InputError, match=remedy):
        words.fit(corpus, min_count=1, dim=2)


@pytest.mark.parametrize(
    ("charset", "codec", "text"),
    [
        ("gb2312", "gbk", "朱镕基 赵喆 说 电脑"),
        ("iso-8859-1", "cp1252", "cœur Œuvre élève"),
        ("us-ascii", "cp1252", "cœur élève"),
        ("euc-kr", "cp949", "뷁 똠방각하 펲시"),
        ("x-sjis", "cp932", "髙橋 﨑山 パソコン"),
        ("shift_jis", "cp932", "髙橋 﨑山 パソコン"),
        ("big5", "cp950", "碁局 恒山 裏面"),
        ("iso-2022-jp", "iso-2022-jp", "今日 天気 公園"),
        ("windows-874", "cp874", "ภาษาไทย ไทย"),
        ("iso-8859-9", "cp1254", "ığdır İzmir œuvre"),
    ],
)
def test_a_page_is_read_as_browsers_read_it(tmp_path, charset, codec, text):
    """A page that says gb2312 holds GBK: read to the letter its words became others, and 7 bad bytes were all that was said."""
    (tmp_path / "page.html").write_bytes(f"<meta charset={charset}><p>{text}</p>".encode(codec))
    assert sorted(read(tmp_path / "page.html", min_count=1, language="words").words) == sorted(words_of(text, "words"))


@pytest.mark.parametrize(
    "head",
    [
        '<?xml version="1.0" encoding="gbk"?>',
        "<!-- <meta charset=koi8-r> --><meta charset=gbk>",
        f"<script>{'x' * 9000}</script><meta charset=gbk>",
    ],
)
def test_a_page_says_its_encoding_in_several_places(tmp_path, head):
    """In the XML declaration, behind a comment that says another, behind a long script."""
    (tmp_path / "page.html").write_bytes(f"{head}<p>电脑 手机</p>".encode("gbk"))
    assert sorted(read(tmp_path / "page.html", min_count=1, language="words").words) == ["手机", "电脑"]


def test_a_page_that_wrongly_says_utf_8_takes_the_option(tmp_path):
    """The hint was to pass --encoding gb18030, and passing it gave the same hint again."""
    (tmp_path / "page.html").write_bytes("<meta charset=utf-8><p>电脑 手机</p>".encode("gbk"))
    assert sorted(read(tmp_path / "page.html", min_count=1, language="words", encoding="gb18030").words) == ["手机", "电脑"]


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be", "iso2022_jp"])
@pytest.mark.parametrize("option", ["utf-8", "gb18030"])
def test_japanese_in_an_encoding_without_a_mark_is_named(tmp_path, codec, option):
    """It has hardly any ASCII, by which UTF-16 was known; as seven bits it was read as letters that nobody wrote."""
    (tmp_path / "a.txt").write_bytes("今日は天気がいいので、公園を散歩した。海も山も見えた。町には人が多い。\n".encode(codec) * 9)
    with pytest.raises(InputError, match=f"pass --encoding {codec}"):
        read(tmp_path / "a.txt", min_count=1, encoding=option)


def test_a_long_file_that_begins_in_ascii_is_not_held(tmp_path, monkeypatch):
    """With --encoding all blocks in ASCII were kept until one showed the encoding: the memory of a whole English corpus."""
    monkeypatch.setattr("thalweg.words.text.corpus.BLOCK", 1 << 10)
    (tmp_path / "a.txt").write_bytes(b"plain words here\n" * 1000 + "电脑 手机\n".encode("gbk") * 5)
    [source], report = sources([tmp_path / "a.txt"], Report()), Report()
    taken = 0

    def counted():
        nonlocal taken
        for item in source.blocks():
            taken += 1
            yield item

    stream = encodings.as_utf8(counted(), "gb18030", None, "a.txt", report)
    next(stream)
    assert taken <= 2
    assert b"".join(text for text, _ in stream).decode().endswith("电脑 手机\n")
    assert report.encodings == {"gb18030": 1}


@pytest.mark.parametrize("write", ["text", "binary"])
def test_utf_8_vectors_with_a_damaged_word_stay_utf_8(tmp_path, write):
    """The note on the damaged word named --encoding, and with gb18030 every word became another one, without a word."""
    words = ["电脑".encode(), "手机".encode(), "上海".encode(), "北京".encode()[:-1]]
    rows = [word + (b" 1 2\n" if write == "text" else b" " + b"\0" * 8) for word in words]
    (tmp_path / "v.bin").write_bytes(b"4 2\n" + b"".join(rows))
    wv = WordVectors.read(tmp_path / "v.bin", encoding="gb18030")
    assert wv.words[:3] == ["电脑", "手机", "上海"]
    assert wv.info["replaced_tokens"] == 1


def test_evaluate_reads_vectors_in_another_encoding(tmp_path):
    """--encoding was for the test sets alone: of vectors in GBK eight words became seven, and none was known."""
    (tmp_path / "v.txt").write_bytes("4 2\n电脑 1 2\n手机 2 1\n上海 1 0\n北京 0 3\n".encode("gbk"))
    (tmp_path / "p.tsv").write_bytes("电脑\t手机\t9\n上海\t北京\t8\n电脑\t北京\t1\n".encode("gbk"))
    done = run("evaluate", tmp_path / "v.txt", "--pairs", tmp_path / "p.tsv", "--encoding", "gbk", "--json")
    assert json.loads(done.stdout)["result"]["pairs"][0]["n_covered"] == 3


def test_a_test_set_in_utf_8_with_a_damaged_byte_stays_utf_8(tmp_path):
    """With --encoding gb18030 every word of it became another one, and nothing was covered."""
    (tmp_path / "p.tsv").write_bytes("电脑\t手机\t9\n".encode() * 60 + b"\xff\tx\t1\n")
    with pytest.raises(InputError, match=r"is not UTF-8 \(byte \d+\): nearly all of it is, so mend it there"):
        evaluation.read_pairs(tmp_path / "p.tsv", "gb18030")
    (tmp_path / "q.tsv").write_bytes("今日\t天気\t9\n".encode("iso2022_jp"))
    assert evaluation.read_pairs(tmp_path / "q.tsv", "iso2022_jp").pairs == (("今日", "天気", 9.0),)
