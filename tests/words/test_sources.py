"""Where text comes from: files, folders, compression, standard input, encodings, what is left out and why."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from thalweg.errors import InputError, MissingExtraError, MissingFileError
from thalweg.words.text import corpus, docstrings
from thalweg.words.text.corpus import Report
from thalweg.words.text.reading import Tokens, read

TEXT = "one two three two three three\n" * 3


def stream(tokens: Tokens) -> list[str]:
    return [tokens.words[k] for k in tokens.ids if k >= 0]


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


# Folders


def test_a_folder_is_read_in_the_order_of_path_bytes(tmp_path: Path) -> None:
    names = ["b.txt", "a/z.md", "a.txt", "é.rst", "Z.TXT", "a/b/c.text", "a b.txt"]
    for k, name in enumerate(names):
        write(tmp_path / name, f"word{k} word{k}")
    words = stream(read(tmp_path, min_count=1))[::2]
    assert words == [f"word{names.index(name)}" for name in sorted(names, key=os.fsencode)]


def test_hidden_files_and_unknown_suffixes_are_left_out(tmp_path: Path) -> None:
    for name in ("a.txt", "b.md.gz", ".hidden.txt", ".git/c.txt", "d.py", "e", "f.json", "g.txt.zip", "h.txt~", "txt"):
        content = f"{name[0]} {name[0]}"
        write(tmp_path / name, gzip.compress(content.encode()) if name.endswith(".gz") else content)
    tokens = read(tmp_path, min_count=1)
    assert tokens.words == ["a", "b"]
    assert (tokens.report.n_files, tokens.report.sources) == (2, [str(tmp_path)])


def test_a_file_that_is_named_is_read_whatever_its_name(tmp_path: Path) -> None:
    assert read(write(tmp_path / ".hidden.py", TEXT)).words == ["three", "two"]


def test_several_paths_are_read_in_the_order_given(tmp_path: Path) -> None:
    paths = [write(tmp_path / name, f"{name} {name}") for name in "cab"]
    assert stream(read(paths, min_count=1)) == ["c", "c", "a", "a", "b", "b"]
    assert read(paths, min_count=1).report.sources == [str(path) for path in paths]


@pytest.mark.parametrize("content", [[], ["a.py", ".b.txt"]])
def test_a_folder_without_text_is_an_error(tmp_path: Path, content: list[str]) -> None:
    for name in content:
        write(tmp_path / name, TEXT)
    with pytest.raises(InputError, match=r"holds no text: looked for \*\.txt"):
        read(tmp_path)


def test_what_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="there is no file or folder"):
        read(tmp_path / "missing")
    (tmp_path / "link").symlink_to(tmp_path / "missing")
    with pytest.raises(MissingFileError, match="is a link to something that is not there"):
        read(tmp_path / "link")


@pytest.mark.parametrize(
    ("glob", "words"),
    [
        ("*.csv", ["a", "c"]),
        ("*.csv.gz", ["c"]),
        ("a*", ["a"]),
        ("deep/*", ["c", "d"]),
        ("*", ["a", "b", "c", "d"]),
        ("[bd].*", ["b", "d"]),
    ],
)
def test_glob_says_which_files_of_a_folder_are_read(tmp_path: Path, glob: str, words: list[str]) -> None:
    """By their names, and by what they are called unpacked; with a slash by their paths within the folder. Never hidden ones."""
    for name in ("a.csv", "b.txt", "deep/c.csv.gz", "deep/er/d.txt", ".hidden.csv", ".git/e.csv"):
        letter = Path(name).name[0]
        write(tmp_path / name, gzip.compress(f"{letter} {letter}".encode()) if name.endswith(".gz") else f"{letter} {letter}")
    if len(words) > 1:
        assert sorted(read(tmp_path, glob=glob, min_count=1).words) == words
    named = write(tmp_path / "named.csv", "x y")
    assert set(read([tmp_path, named], glob=glob, min_count=1).words) >= {*words, "x", "y"}  # what is named is read anyway


def test_a_pattern_that_fits_nothing_is_an_error(tmp_path: Path) -> None:
    write(tmp_path / "a.txt", TEXT)
    with pytest.raises(InputError, match=r"holds no text: looked for \*\.csv, also compressed; hidden files are left out"):
        read(tmp_path, glob="*.csv")
    with pytest.raises(InputError, match="glob='' matches no file"):
        read(tmp_path, glob="")


# Compression


def test_zstandard_is_read_if_its_package_is_there(tmp_path: Path) -> None:
    """Also several frames, however long the pieces; one that breaks off, is damaged or has a tail is an error."""
    zstandard = pytest.importorskip("zstandard")
    text = ("飞机 é two\n" * 5000).encode() + b"".join(b"%d " % (k * k * 7919 % 10007) for k in range(5000))
    compress = zstandard.ZstdCompressor(write_checksum=True).compress
    frames = [compress(part) for part in (text[:100], b"", text[100:])]
    plain = read(write(tmp_path / "plain", text), min_count=1)
    packed = read(write(tmp_path / "a.txt.zst", b"".join(frames)), min_count=1)
    assert (packed.words, packed.ids.tolist(), packed.report.n_bytes) == (plain.words, plain.ids.tolist(), len(text))
    assert read(tmp_path, min_count=1).ids.tolist() == plain.ids.tolist()  # found in a folder
    for data in (frames[2][:-9], frames[2] + b"tail of it", frames[2][:200] + b"\xff" * 50 + frames[2][250:]):
        with pytest.raises(InputError, match=r"a\.txt\.zst is damaged"):
            read(write(tmp_path / "a.txt.zst", data))


def test_zstandard_without_its_package_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "zstandard", None)
    path = write(tmp_path / "a.txt", b"\x28\xb5\x2f\xfd" + TEXT.encode())
    with pytest.raises(MissingExtraError, match=r"a.txt cannot be read: .* is not installed: pip install zstandard"):
        read(path)


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress])
@pytest.mark.parametrize("name", ["a.txt", "b"])
def test_compressed_files_are_known_by_their_first_bytes(
    tmp_path: Path, compress: Callable[[bytes], bytes], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also files of several streams, as parallel compressors write them, cut within a character."""
    text = ("飞机 é two\n" * 500).encode()
    plain = read(write(tmp_path / "plain", text))
    monkeypatch.setattr(corpus, "BLOCK", 1000)
    for parts in ([text], [text[:100], text[100:2221], b"", text[2221:]]):
        packed = read(write(tmp_path / name, b"".join(compress(part) for part in parts)))
        assert (packed.words, packed.ids.tolist()) == (plain.words, plain.ids.tolist())
        assert packed.report.n_bytes == len(text)


# Standard input, docstrings


def test_standard_input_is_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    for dash in ("-", Path("-")):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(TEXT.encode())))
        tokens = read(dash)
        assert tokens.words == ["three", "two"]
        assert tokens.report.sources == ["-"]


def test_docs_reads_what_packages_yields(monkeypatch: pytest.MonkeyPatch) -> None:
    def texts() -> dict[str, Callable[[], Iterator[tuple[bytes, int]]]]:
        return {"x": lambda: iter([(b"one tw", 0), (b"o\n", 0)]), "y": lambda: iter([(b"two\n", 0)])}

    monkeypatch.setattr(docstrings, "packages", texts)
    assert stream(read("docs:", min_count=1)) == ["one", "two", "two"]


# Encodings


@pytest.mark.parametrize("encoding", ["gb18030", "utf-16", "utf-16-be", "utf-32", "utf-8-sig", "UTF8", "big5"])
def test_other_encodings_are_read_as_if_they_were_utf_8(tmp_path: Path, encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus, "BLOCK", 101)  # an odd number: characters are cut
    text = "words 高山 流水\n" * 40
    expected = read(write(tmp_path / "a.txt", text), language="words")
    tokens = read(write(tmp_path / "b.txt", text.encode(encoding)), encoding=encoding, language="words")
    assert (tokens.words, tokens.ids.tolist()) == (expected.words, expected.ids.tolist())
    assert tokens.report.n_bytes == len(text.encode())


@pytest.mark.parametrize("language", ["words", "whitespace"])
def test_what_an_encoding_cannot_decode_separates(tmp_path: Path, language: str) -> None:
    path = write(tmp_path / "a.txt", b"ab\xffcd ef gh\n" * 5)
    assert read(path, encoding="ascii", language=language).words == ["ab", "cd", "ef", "gh"]
    assert read(path, language=language).words == ["ab", "cd", "ef", "gh"]


def test_text_in_utf_16_is_left_out_with_a_hint(tmp_path: Path) -> None:
    write(tmp_path / "a.txt", TEXT)
    write(tmp_path / "b.txt", TEXT.encode("utf-16"))
    tokens = read(tmp_path)
    assert tokens.words == ["three", "two"]
    assert tokens.report.skipped == [(str(tmp_path / "b.txt"), "text in UTF-16: pass --encoding utf-16")]


@pytest.mark.parametrize("encoding", ["utf8x", "rot13", "hex", "undefined", ""])
def test_an_encoding_that_python_does_not_know_is_an_error(tmp_path: Path, encoding: str) -> None:
    with pytest.raises(InputError, match="there is no encoding"):
        read(write(tmp_path / "a.txt", TEXT), encoding=encoding)


@pytest.mark.parametrize("encoding", ["idna", "punycode", "utf-32"])
def test_an_encoding_that_gives_up_on_a_text_is_an_error_not_a_traceback(tmp_path: Path, encoding: str) -> None:
    """Some of Python's codecs refuse to replace what they cannot decode, or want a byte order mark."""
    with pytest.raises(InputError):
        read(write(tmp_path / "a.txt", ("é" + TEXT).encode("latin-1")), encoding=encoding)


def test_a_byte_order_mark_is_no_part_of_the_first_word(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", b"\xef\xbb\xbfone two")
    for language in ("words", "whitespace", "zh"):
        assert read(path, language=language, min_count=1).words == ["one", "two"]


@given(st.text("ab 飞\ufeff\n", max_size=150), st.integers(40, 80))
@example("飞" * 12 + "a" + "\ufeff" + "b", 41)
def test_the_length_of_the_blocks_changes_nothing(text: str, block: int) -> None:
    """A byte order mark inside a text separates; also where a block happens to begin with it."""
    with pytest.MonkeyPatch.context() as patch:
        tokens = []
        for size in (1 << 20, block):
            patch.setattr(corpus, "BLOCK", size)
            patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"x y\n" + text.encode())))
            tokens.append(read("-", language="words", min_count=1))
    assert stream(tokens[0]) == stream(tokens[1])


# What is not text


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"a\0b" * 100, "a binary file"),
        (bytes(range(256)) * 10, "a binary file"),
        (bytes(range(1, 256)) * 10, "not UTF-8 (50% of its first bytes"),
        ("é".encode("latin-1") * 11 + b"a" * 89, "not UTF-8 (11% of its first bytes"),
    ],
    ids=["nul", "all bytes", "random", "latin-1"],
)
def test_files_that_are_not_text_are_left_out_and_named(tmp_path: Path, content: bytes, reason: str) -> None:
    write(tmp_path / "a.txt", TEXT)
    other = write(tmp_path / "b.txt", content)
    tokens = read(tmp_path)
    assert tokens.words == ["three", "two"]
    [(path, said)] = tokens.report.skipped
    assert (path, said.startswith(reason)) == (str(other), True)
    with pytest.raises(InputError, match="nothing to read"):
        read(other)


def test_a_tenth_of_bad_bytes_is_still_text(tmp_path: Path) -> None:
    tokens = read(write(tmp_path / "a.txt", b"a b c d \xff " * 10))
    assert (tokens.words, tokens.report.bad_bytes) == (["a", "b", "c", "d"], 10)


def test_a_character_across_the_end_of_the_first_64_kib_is_not_bad(tmp_path: Path) -> None:
    tokens = read(write(tmp_path / "a.txt", b"x" + "飞 机 ".encode() * 20_000), language="words")
    assert (tokens.report.bad_bytes, tokens.report.skipped) == (0, [])


@pytest.mark.parametrize("content", [b"", gzip.compress(b"", mtime=0), b"\xef\xbb\xbf"], ids=["nothing", "gzip", "mark"])
def test_an_empty_file_is_empty_not_binary(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(InputError, match=r"is empty|holds no words") as caught:
        read(write(tmp_path / "a.txt", content))
    assert "UTF-8" not in str(caught.value)
    write(tmp_path / "b.txt", TEXT)
    assert read(tmp_path).report.skipped == []


def test_a_text_without_words_says_how_much_was_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no words \(6 bytes read\)"):
        read(write(tmp_path / "a.txt", b"... !?"))


# Reports and progress


def test_the_report_adds_up(tmp_path: Path) -> None:
    write(tmp_path / "a.txt", TEXT + "x" * 1001)
    write(tmp_path / "b.txt", b"\xff" + TEXT.encode())
    report = read(tmp_path, min_count=1).report
    assert (report.n_files, report.n_bytes) == (2, 2 * len(TEXT) + 1001 + 1)
    assert (report.bad_bytes, report.dropped_words) == (1, 1)
    assert (report.language, report.tokenizer) == ("words", "letters, marks and numbers")
    assert Report().skipped == []


@pytest.mark.parametrize("encoding", ["utf-8", "gb18030"])
def test_progress_of_reading_counts_up_to_the_bytes_of_all_files(
    tmp_path: Path, encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corpus, "BLOCK", 50)
    paths = [
        write(tmp_path / name, content) for name, content in (("a", TEXT * 9), ("b", gzip.compress(TEXT.encode())), ("c", TEXT))
    ]
    seen: list[float] = []
    total = sum(path.stat().st_size for path in paths)

    def progress(done: float, whole: float | None, **numbers: object) -> None:
        assert (whole, numbers) == (total, {"phase": "reading", "unit": "bytes"})
        seen.append(done)

    read(paths, encoding=encoding, progress=progress)
    assert seen == sorted(seen)
    assert seen[-1] == total


def test_several_patterns_name_the_files_of_a_folder(tmp_path: Path) -> None:
    for name in ("a.csv", "b.log", "c.txt"):
        write(tmp_path / name, f"{name[0]} {name[0]}\n")
    assert sorted(set(stream_words(tmp_path, ["*.csv", "*.log"]))) == ["a", "b"]
    assert sorted(set(stream_words(tmp_path, ("*.csv", "c.*")))) == ["a", "c"]
    with pytest.raises(InputError, match=r"looked for \*\.x, \*\.y"):
        read(tmp_path, glob=["*.x", "*.y"])
    with pytest.raises(InputError, match="matches no file"):
        read(tmp_path, glob=["*.x", ""])


def stream_words(folder: Path, glob: str | list[str] | tuple[str, ...]) -> list[str]:
    return stream(read(folder, glob=glob, min_count=1))


@pytest.mark.parametrize("items", [["a b", ["a", "b"]], [["a", "b"], "a b"]])
def test_texts_and_lists_of_tokens_do_not_mix(items: list[str | list[str]]) -> None:
    with pytest.raises(InputError, match=r"item 1 of the corpus is a (text|list of tokens), the ones before are not"):
        read(items, min_count=1)


class Row(NamedTuple):
    text: str
    label: str


@pytest.mark.parametrize(
    ("corpus", "said"),
    [
        (["a text here", None, "another text"], "item 1 of the corpus is NoneType"),
        ([None, "a text"], "item 0 of the corpus is NoneType"),
        ([["a", "b"], ["a", None]], "item 1 of the corpus holds the token None"),
        ([Row("river", "news"), Row("sea", "sport")], "item 0 of the corpus is a record, Row.*row.text for row in rows"),
        (b"a text here", "bytes are none: decode them"),
    ],
)
def test_what_is_no_text_is_refused_in_its_place(corpus, said):
    """None in a list was passed over without a word, and a record of one-word fields was a list of tokens."""
    with pytest.raises(InputError, match=said):
        read(corpus, min_count=1)
