"""Other programs' files of vectors: what is written is read back bit for bit, here and by gensim."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from thalweg.cli import program
from thalweg.errors import InputError, MissingExtraError, MissingFileError, OutputExistsError, UnknownWordError
from thalweg.words import WordVectors, formats

Floats = npt.NDArray[np.float32]
WORDS = ["the", "飞机", "<unk>", "C++", '"', "\u202e", "é" * 500, "𠀀", "1", "0.5", "\ufeffbom", "</s>"]


def vectors(words: list[str] = WORDS, dim: int = 5, seed: int = 0) -> WordVectors:
    """Vectors with the numbers that are hardest to write: the least and greatest, zeros of both signs."""
    word = np.random.default_rng(seed).standard_normal((len(words), dim)).astype(np.float32)
    hard = [-0.0, 1e-45, np.finfo(np.float32).tiny, np.finfo(np.float32).max, np.nextafter(np.float32(1), np.float32(2)), 0.1]
    word.flat[: len(hard)] = np.array(hard, np.float32)[: word.size]
    return WordVectors(words, None, word)


def same(one: WordVectors, other: WordVectors) -> bool:
    assert one.words == other.words
    assert (one.word.dtype, one.word.shape, one.word.tobytes()) == (np.float32, other.word.shape, other.word.tobytes())
    return True


# Round trips


@pytest.mark.parametrize("format", formats.FORMATS)
def test_what_is_read_is_what_was_written_bit_for_bit(tmp_path: Path, format: str) -> None:
    made = vectors()
    made.export(tmp_path / "file", format)
    found = WordVectors.read(tmp_path / "file")
    assert same(found, made)
    assert found.shared
    assert not found.has_counts
    assert found.info == {
        "source": str(tmp_path / "file"), "format": format, "language": "whitespace", "dim": 5,
        "duplicates": 0, "replaced_tokens": 0, "alike": 0, "dropped": 0,
    }  # fmt: skip


TOKENS = st.text(st.characters(exclude_categories=["Cs", "Z", "Cc"]), min_size=1, max_size=8).filter(lambda t: t.split() == [t])


@given(arrays.arrays(np.float32, st.tuples(st.integers(1, 6), st.integers(1, 5)), elements=st.floats(width=32, allow_nan=False)
       .filter(np.isfinite)), st.lists(TOKENS, min_size=6, max_size=6, unique=True), st.sampled_from(formats.FORMATS))  # fmt: skip
def test_any_float32_and_any_word_survive_in_the_format_that_wrote_them(
    tmp_path_factory: pytest.TempPathFactory, word: Floats, words: list[str], format: str
) -> None:
    made = WordVectors(words[: len(word)], None, word)
    path = tmp_path_factory.getbasetemp() / "any"
    made.export(path, format, overwrite=True)
    assert same(WordVectors.read(path, format), made)


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress])
@pytest.mark.parametrize("format", formats.FORMATS)
def test_compressed_files_are_read_as_they_are(tmp_path: Path, format: str, compress: Callable[[bytes], bytes]) -> None:
    made = vectors()
    made.export(tmp_path / "plain", format)
    (tmp_path / "file").write_bytes(compress((tmp_path / "plain").read_bytes()))
    found = WordVectors.read(tmp_path / "file")
    assert same(found, made)
    assert found.info["format"] == format


@pytest.mark.parametrize("format", formats.FORMATS)
@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (3000, 1), (5000, 2), (2, 70), (40, 65536 // 64)], ids=str)
def test_files_of_any_shape_are_told_apart_by_their_content(tmp_path: Path, format: str, shape: tuple[int, int]) -> None:
    """One dimension and one word are where a header looks most like a row."""
    rng = np.random.default_rng(1)
    made = WordVectors([f"w{k}" for k in range(shape[0])], None, rng.standard_normal(shape).astype(np.float32))
    made.export(tmp_path / "file", format)
    found = WordVectors.read(tmp_path / "file")
    assert same(found, made)
    assert found.info["format"] == format


def test_the_same_vectors_give_the_same_bytes(tmp_path: Path) -> None:
    for format in formats.FORMATS:
        for name in ("one", "two"):
            vectors().export(tmp_path / name, format, overwrite=True)
        assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


# What the formats are


def read(tmp_path: Path, data: bytes, format: str | None = None, **options: Any) -> WordVectors:
    (tmp_path / "file").write_bytes(data)
    return WordVectors.read(tmp_path / "file", format, **options)


def rows(wv: WordVectors) -> dict[str, list[float]]:
    return dict(zip(wv.words, wv.word.tolist(), strict=True))


def test_the_text_of_word2vec_is_a_header_and_a_line_for_every_word(tmp_path: Path) -> None:
    made = WordVectors(["a", "词"], None, np.array([[1, -0.5], [1 / 3, 2e-30]], np.float32))
    made.export(tmp_path / "x.txt")
    assert (tmp_path / "x.txt").read_bytes() == "2 2\na 1 -0.5\n词 0.333333343 2.00000001e-30\n".encode()
    made.export(tmp_path / "y.txt", "glove")
    assert (tmp_path / "y.txt").read_bytes() == "a 1 -0.5\n词 0.333333343 2.00000001e-30\n".encode()


def test_the_binary_form_of_word2vec_is_a_word_a_blank_and_numbers(tmp_path: Path) -> None:
    made = WordVectors(["a", "词"], None, np.array([[1, -0.5], [0, 2]], np.float32))
    made.export(tmp_path / "x.bin")
    data = b"2 2\na " + np.array([1, -0.5], "<f4").tobytes() + "\n词 ".encode() + np.array([0, 2], "<f4").tobytes() + b"\n"
    assert (tmp_path / "x.bin").read_bytes() == data
    assert same(read(tmp_path, data.replace(b"\n\xe8", b"\xe8")), made)  # gensim writes no line feeds


def test_a_binary_number_may_look_like_anything(tmp_path: Path) -> None:
    """Bytes of numbers that are blanks, line feeds, digits or letters are numbers all the same."""
    for pattern in (b"    ", b"\n\n\n\n", b"0.5\n", b"1 2\n", b"\n1 2", b"abc ", b" \n \n"):
        word = np.frombuffer(pattern * 8, np.float32).reshape(2, 4)
        made = WordVectors(["x", "\u00a0"[:0] + "y"], None, word)
        made.export(tmp_path / "x.bin", overwrite=True)
        assert same(WordVectors.read(tmp_path / "x.bin", "word2vec-bin"), made)


def test_a_word_may_hold_blanks(tmp_path: Path) -> None:
    """As some in GloVe's file of 840 billion tokens do: the numbers are the last fields of a line."""
    data = b"the 1 2\n. . . 3 4\nat name@domain.com 5 6\n"
    assert rows(read(tmp_path, data)) == {"the": [1, 2], ". . .": [3, 4], "at name@domain.com": [5, 6]}
    assert rows(read(tmp_path, b"3 2\n" + data)) == rows(read(tmp_path, data))
    assert rows(read(tmp_path, b". . . 3 4\nthe 1 2\n")) == {". . .": [3, 4], "the": [1, 2]}


def test_two_numbers_in_the_first_line_are_a_header_unless_the_second_line_has_two_fields(tmp_path: Path) -> None:
    assert rows(read(tmp_path, b"2 3\n5 1 2 3\n6 4 5 6\n")) == {"5": [1, 2, 3], "6": [4, 5, 6]}
    assert rows(read(tmp_path, b"2 3\n5 4\n6 7\n")) == {"2": [3], "5": [4], "6": [7]}
    assert rows(read(tmp_path, b"2 1\n5 4\n6 7\n")) == {"5": [4], "6": [7]}
    assert rows(read(tmp_path, b"2 1\n5 4\n6 7\n", "glove")) == {"2": [1], "5": [4], "6": [7]}


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b" \n", b" \t\r\n"])
@pytest.mark.parametrize("last", [b"", b" ", b"\n\n", b"\n \r\n\t\n"])
def test_blanks_and_line_ends_are_those_of_any_system(tmp_path: Path, end: bytes, last: bytes) -> None:
    """word2vec.c and fastText leave a blank at the end of a line, Windows a carriage return, editors a mark at the start."""
    data = b"a 1 2" + end + b"b\t3  4" + last
    for start in (b"", b"\xef\xbb\xbf", b"2 2" + end, b"\xef\xbb\xbf2 2" + end):
        assert rows(read(tmp_path, start + data)) == {"a": [1, 2], "b": [3, 4]}


def test_the_first_of_two_vectors_of_a_word_counts(tmp_path: Path) -> None:
    made = {
        "word2vec": b"3 2\na 1 2\nb 3 4\na 5 6\n",
        "glove": b"a 1 2\nb 3 4\na 5 6\n",
        "word2vec-bin": b"3 2\n" + b"".join(w + b" " + np.array(v, "<f4").tobytes() for w, v in
                                          [(b"a", [1, 2]), (b"b", [3, 4]), (b"a", [5, 6])]),
    }  # fmt: skip
    for format, data in made.items():
        found = read(tmp_path, data)
        assert (rows(found), found.info["duplicates"], found.info["format"]) == ({"a": [1, 2], "b": [3, 4]}, 1, format)
    np.savez(tmp_path / "x.npz", words=np.array(["a", "b", "a"]), vectors=np.array([[1, 2], [3, 4], [5, 6]], np.float32))
    found = WordVectors.read(tmp_path / "x.npz")
    assert (rows(found), found.info["duplicates"]) == ({"a": [1, 2], "b": [3, 4]}, 1)


def test_bytes_that_are_not_utf8_are_replaced_and_counted(tmp_path: Path) -> None:
    data = b"a\xff 1 2\nb 3 4\n\xe8\xaf 5 6\nc 7 8\n"
    found = read(tmp_path, data)
    assert (rows(found), found.info["replaced_tokens"]) == ({"a\ufffd": [1, 2], "b": [3, 4], "\ufffd": [5, 6], "c": [7, 8]}, 2)
    found = read(tmp_path, b"2 1\n\xff\xfe " + np.float32(3).tobytes() + b"a " + np.float32(4).tobytes())
    assert (rows(found), found.info["replaced_tokens"]) == ({"\ufffd\ufffd": [3], "a": [4]}, 1)


NUMBERS = np.array([[1, -0.5], [0.25, 3]])


@pytest.mark.parametrize("dtype", ["<f2", "<f4", "<f8", ">f4", ">f8"])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("words", [np.array(["a", "词"]), np.array(["a", "词"], ">U7"), np.array([b"a", "词".encode()])], ids=str)
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_numpy_archives_of_any_layout_are_read(tmp_path: Path, dtype: str, order: Any, words: Any, save: Any) -> None:
    save(tmp_path / "x.npz", vectors=np.array(NUMBERS, dtype, order=order), words=words, more=np.arange(3))
    assert rows(WordVectors.read(tmp_path / "x.npz")) == {"a": [1, -0.5], "词": [0.25, 3]}


def test_numpy_reads_what_is_written(tmp_path: Path) -> None:
    vectors().export(tmp_path / "x.npz")
    with np.load(tmp_path / "x.npz", allow_pickle=False) as archive:
        assert archive["words"].tolist() == WORDS
        assert archive["vectors"].tobytes() == vectors().word.tobytes()


def test_safetensors_reads_what_is_written(tmp_path: Path) -> None:
    from safetensors import safe_open

    vectors().export(tmp_path / "x.safetensors")
    with safe_open(tmp_path / "x.safetensors", "numpy") as file:
        assert json.loads(file.metadata()["words"]) == WORDS
        assert file.get_tensor("vectors").tobytes() == vectors().word.tobytes()


def tensors(entries: dict[str, tuple[str, npt.NDArray[Any]]], words: object = None) -> bytes:
    """A safetensors file; `words` go into its metadata."""
    header: dict[str, Any] = {} if words is None else {"__metadata__": {"words": json.dumps(words)}}
    data = b""
    for name, (dtype, array) in entries.items():
        header[name] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": [len(data), len(data) + array.nbytes]}
        data += array.tobytes()
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


BFLOAT = (NUMBERS.astype("<f4").view("<u4") >> 16).astype("<u2")
KINDS = [("F16", NUMBERS.astype("<f2")), ("F32", NUMBERS.astype("<f4")), ("F64", NUMBERS.astype("<f8")), ("BF16", BFLOAT)]


@pytest.mark.parametrize(("dtype", "array"), KINDS, ids=[kind for kind, _ in KINDS])
def test_tensors_of_any_precision_become_float32(tmp_path: Path, dtype: str, array: npt.NDArray[Any]) -> None:
    found = read(tmp_path, tensors({"vectors": (dtype, array)}, ["a", "b"]))
    assert rows(found) == {"a": [1, -0.5], "b": [0.25, 3]}


def test_the_words_of_tensors_may_stand_beside_the_file(tmp_path: Path) -> None:
    data = tensors({"more": ("F32", np.zeros(3, "<f4")), "weight": ("F32", NUMBERS.astype("<f4"))})
    with pytest.raises(MissingFileError, match=r"put them as a JSON list into file\.words\.json beside it"):
        read(tmp_path, data)
    (tmp_path / "vocab.json").write_text('{"b": 1, "a": 0}')
    assert read(tmp_path, data).words == ["a", "b"]
    (tmp_path / "file.words.json").write_text('["c", "词"]')
    assert read(tmp_path, data).words == ["c", "词"]
    assert read(tmp_path, data, tensor="weight").words == ["c", "词"]
    with pytest.raises(InputError, match=r"has no tensor 'weigth'\. Did you mean weight\?"):
        read(tmp_path, data, tensor="weigth")
    with pytest.raises(InputError, match="is read as glove, which has no tensor 'weight'"):
        read(tmp_path, b"a 1 2\n", tensor="weight")


def test_our_own_tensors_are_read_with_their_vocabulary(tmp_path: Path) -> None:
    u, k = np.random.default_rng(0).standard_normal((2, 3, 4)).astype(np.float32)
    WordVectors(["a", "b", "c"], None, u, k).save(tmp_path / "vec")
    with pytest.raises(InputError, match=r"--tensor .*: there are "):
        WordVectors.read(tmp_path / "vec" / "vectors.safetensors")
    found = WordVectors.read(tmp_path / "vec" / "vectors.safetensors", tensor="context")
    assert (found.words, found.word.tobytes()) == (["a", "b", "c"], k.tobytes())


def test_numbers_too_large_for_float32_are_not_finite(tmp_path: Path) -> None:
    """They are left out, and counted, when that is allowed."""
    for data in (b"a 1e39 2\nb 3 4\n", tensors({"vectors": ("F64", np.array([[1e39, 2], [3, 4]]))}, ["a", "b"])):
        with pytest.raises(ValueError, match='the vector of "a" is not finite; leave such words out with --allow-nonfinite'):
            read(tmp_path, data)
        found = read(tmp_path, data, allow_nonfinite=True)
        assert (rows(found), found.info["dropped"]) == ({"b": [3, 4]}, 1)


# Writing


def test_the_output_is_chosen_when_it_is_written(tmp_path: Path) -> None:
    u, k = np.array([[1, 2]], np.float32), np.array([[10, 20]], np.float32)
    wv = WordVectors(["a"], None, u, k)
    for output, expected in {None: [11, 22], "sum": [11, 22], "concat": [1, 2, 10, 20], "word": [1, 2]}.items():
        for format in formats.FORMATS:
            wv.export(tmp_path / "x", format, output, overwrite=True)
            assert rows(WordVectors.read(tmp_path / "x")) == {"a": expected}
    with pytest.raises(InputError, match="output='both' is not known"):
        wv.export(tmp_path / "y", "glove", "both")
    assert not (tmp_path / "y").exists()


@pytest.mark.parametrize("format", ["word2vec", "word2vec-bin", "glove"])
@pytest.mark.parametrize("word", ["New York", "a\tb", "a\n", "\u3000", "a\u00a0b", "\x85", ""])
def test_words_with_white_space_are_refused_where_they_would_be_cut(tmp_path: Path, format: str, word: str) -> None:
    with pytest.raises(InputError, match="which this format cannot hold: choose npz or safetensors"):
        vectors(["a", word]).export(tmp_path / "x", format)
    assert list(tmp_path.iterdir()) == []
    if word:
        vectors(["a", word]).export(tmp_path / "x", "npz")
        assert WordVectors.read(tmp_path / "x").words == ["a", word]


@pytest.mark.parametrize("word", ["\ud800", "a\0", ""])
def test_words_that_a_format_cannot_hold_are_refused(tmp_path: Path, word: str) -> None:
    with pytest.raises(InputError, match="cannot hold"):
        vectors(["a", word]).export(tmp_path / "x.npz")
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_replaced_unasked_and_nothing_is_left_half_written(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    vectors().export(path)
    before = path.read_bytes()
    with pytest.raises(OutputExistsError, match="is there already: choose another name, or replace it with --overwrite"):
        vectors(seed=1).export(path)
    bad = vectors(seed=1)
    bad.word[3, 2] = np.nan
    with pytest.raises(InputError, match=r'the vector of "C\+\+" is not finite: nothing was written'):
        bad.export(path, overwrite=True)
    with pytest.raises(InputError, match="has white space in it"):
        vectors(["a", "b c"]).export(path, overwrite=True)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(OutputExistsError, match="is a folder"):
        vectors().export(tmp_path, "glove", overwrite=True)
    with pytest.raises(MissingFileError, match="there is no folder"):
        vectors().export(tmp_path / "no" / "x.txt")


def test_a_format_that_is_unknown_or_unsaid_is_answered_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not say a format: give one of word2vec, word2vec-bin, glove, npz, safetensors"):
        vectors().export(tmp_path / "x.dat")
    with pytest.raises(InputError, match=r"format='golve' is not known\. Did you mean glove"):
        vectors().export(tmp_path / "x.txt", "golve")
    with pytest.raises(InputError, match="format='text' is not known"):
        WordVectors.read(tmp_path, "text")


# gensim, as the oracle


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")  # gensim's open file
@pytest.mark.parametrize("binary", [False, True])
def test_gensim_reads_what_is_written_bit_for_bit(tmp_path: Path, binary: bool) -> None:
    models = pytest.importorskip("gensim.models")
    made = vectors([word for word in WORDS if word != "\ufeffbom"])
    made.export(tmp_path / "x", "word2vec-bin" if binary else "word2vec")
    keyed = models.KeyedVectors.load_word2vec_format(str(tmp_path / "x"), binary=binary)
    assert (keyed.index_to_key, keyed.vectors.tobytes()) == (made.words, made.word.tobytes())
    made.export(tmp_path / "y", "glove")
    keyed = models.KeyedVectors.load_word2vec_format(str(tmp_path / "y"), no_header=True)
    assert (keyed.index_to_key, keyed.vectors.tobytes()) == (made.words, made.word.tobytes())


@pytest.mark.parametrize("binary", [False, True])
def test_what_gensim_writes_is_read_bit_for_bit(tmp_path: Path, binary: bool) -> None:
    models = pytest.importorskip("gensim.models")
    made = vectors()
    keyed = models.KeyedVectors(5)
    keyed.add_vectors(made.words, made.word)
    keyed.save_word2vec_format(str(tmp_path / "x"), binary=binary)
    found = WordVectors.read(tmp_path / "x")
    assert found.info["format"] == ("word2vec-bin" if binary else "word2vec")
    assert found.words == keyed.index_to_key
    order = [made.index[word] for word in found.words]
    assert found.word.tobytes() == made.word[order].tobytes()


def test_vectors_go_to_gensim_and_come_back_in_memory() -> None:
    pytest.importorskip("gensim")
    counts = np.arange(len(WORDS), 0, -1)
    made = WordVectors(WORDS, counts, vectors().word)
    keyed = made.to_gensim()
    assert keyed["飞机"].tobytes() == made["飞机"].tobytes()
    assert keyed.get_vecattr("the", "count") == len(WORDS)
    back = WordVectors.from_gensim(keyed)
    assert same(back, made)
    assert back.counts.tolist() == counts.tolist()
    assert WordVectors.from_gensim(WordVectors(WORDS, None, made.word).to_gensim()).has_counts is False


def test_a_trained_model_of_gensim_is_taken_with_its_counts() -> None:
    models = pytest.importorskip("gensim.models")
    model = models.Word2Vec([["a", "b", "c"], ["a", "b"], ["a"]] * 5, vector_size=4, min_count=1, workers=1, epochs=1)
    found = WordVectors.from_gensim(model)
    assert (found.words, found.counts.tolist()) == (["a", "b", "c"], [15, 10, 5])
    assert found.word.tobytes() == model.wv.vectors.tobytes()


@pytest.mark.parametrize("thing", [None, 3, "model", {"a": [1.0]}, np.zeros((2, 2))], ids=str)
def test_what_is_not_gensims_is_refused(thing: object) -> None:
    with pytest.raises(InputError, match="is not a KeyedVectors of gensim 4"):
        WordVectors.from_gensim(thing)


def test_without_gensim_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "gensim", None)
    with pytest.raises(MissingExtraError, match=r"needs the package gensim, which .* pip install gensim"):
        vectors().to_gensim()


def test_most_similar_answers_as_gensim_does() -> None:
    pytest.importorskip("gensim")
    words = [f"w{k}" for k in range(60)]
    made = WordVectors(words, None, np.random.default_rng(5).standard_normal((60, 8)).astype(np.float32))
    keyed = made.to_gensim()
    questions: list[dict[str, Any]] = [
        {"positive": ["w1"]},
        {"positive": "w1", "topn": 3},
        {"positive": ["w1", "w2"], "negative": ["w3"]},
        {"positive": ["w1", ("w2", 0.3)], "negative": [("w4", -2.0), "w5"], "topn": 60},
        {"negative": ["w7"]},
    ]
    for question in questions:
        ours, theirs = made.most_similar(**question), keyed.most_similar(**question)
        assert [word for word, _ in ours] == [word for word, _ in theirs]
        assert [score for _, score in ours] == pytest.approx([score for _, score in theirs], abs=1e-6)
    assert made.most_similar(positive=["w1"]) == made.similar("w1")


def test_the_habits_of_gensim_work() -> None:
    wv = WordVectors(["a", "b"], None, np.array([[3, 4], [1, 0]], np.float32))
    assert (wv.key_to_index, wv.index_to_key) == ({"a": 0, "b": 1}, ["a", "b"])
    assert wv.get_vector("a").tolist() == [3, 4]
    assert wv.get_vector("a", norm=True).tolist() == pytest.approx([0.6, 0.8])
    assert wv[["b", "a"]].tolist() == [[1, 0], [3, 4]]
    with pytest.raises(UnknownWordError):
        wv.most_similar("c")
    with pytest.raises(InputError, match="needs a word"):
        wv.most_similar()
    with pytest.raises(InputError, match="cancel"):
        wv.most_similar(positive=["a"], negative=["a"])


# Commands


def run(*args: object) -> Any:
    return CliRunner().invoke(program, ["words", *map(str, args)])


def test_export_and_import_are_each_others_inverse(tmp_path: Path) -> None:
    made = vectors(["机场", "cat", "dog"])
    made.save(tmp_path / "vec")
    for name in ("vec.bin", "vec.txt", "vec.vec", "vec.npz", "vec.safetensors"):
        done = run("export", tmp_path / "vec", tmp_path / name)
        assert (done.exit_code, "3 words, 5 dimensions" in done.stdout) == (0, True)
        done = run("import", tmp_path / name, "--out", tmp_path / f"{name}.back")
        assert done.exit_code == 0
        assert f"thalweg words similar {tmp_path}/{name}.back '机场'" in done.stderr
        back = WordVectors.load(tmp_path / f"{name}.back")
        assert same(back, made)
        assert back.info["source"] == str(tmp_path / name)


def test_the_commands_say_their_result_in_json(tmp_path: Path) -> None:
    vectors(["a", "b"]).save(tmp_path / "vec")
    done = run("export", tmp_path / "vec", tmp_path / "x", "--to", "glove", "--json", "--quiet")
    assert done.stderr == ""
    size = (tmp_path / "x").stat().st_size
    value = {"file": str(tmp_path / "x"), "format": "glove", "n_words": 2, "dim": 5, "bytes": size}
    assert json.loads(done.stdout)["result"] == value
    (tmp_path / "x").write_bytes(b"a 1 2\nb nan 3\n\xff 2 3\na 3 4\n")
    done = run("import", tmp_path / "x", "--out", tmp_path / "back", "--allow-nonfinite", "--json")
    assert json.loads(done.stdout)["result"] == {
        "out": str(tmp_path / "back"), "format": "glove", "n_words": 2, "dim": 2,
        "duplicates": 1, "replaced_tokens": 1, "alike": 0, "dropped": 1,
    }  # fmt: skip
    assert [line for line in done.stderr.splitlines() if line.startswith("1 word")] == [
        "1 word came again: the first vector counts",
        "1 word held bytes that cannot be decoded, which are now U+FFFD (--encoding names another encoding)",
        "1 word had vectors that are not finite and were left out",
    ]


def test_a_file_that_is_there_is_replaced_only_when_told(tmp_path: Path) -> None:
    vectors(["a", "b"]).save(tmp_path / "vec")
    (tmp_path / "x.txt").write_text("mine")
    done = run("export", tmp_path / "vec", tmp_path / "x.txt")
    assert (done.exit_code, (tmp_path / "x.txt").read_text()) == (1, "mine")
    assert run("export", tmp_path / "vec", tmp_path / "x.txt", "--overwrite").exit_code == 0
    assert run("import", tmp_path / "x.txt", "--out", tmp_path / "vec").exit_code == 1
    assert run("import", tmp_path / "x.txt", "--out", tmp_path / "vec", "--overwrite").exit_code == 0
    assert run("export", tmp_path / "vec", tmp_path / "x.dat").exit_code == 2
    assert run("export", tmp_path / "vec", tmp_path / "x.txt", "--to", "word2vec-text").exit_code == 2


def test_the_formats_of_the_commands_are_those_of_the_library() -> None:
    from thalweg.words.commands import converting

    assert tuple(converting.FORMATS) == formats.FORMATS == tuple(formats.WRITERS)


@pytest.mark.parametrize("name", ["v.txt.gz", "v.vec.bz2", "v.bin.gz", "v.bin.xz", "v.npz.gz", "v.safetensors.xz"])
def test_a_name_that_promises_compression_keeps_it(tmp_path: Path, name: str) -> None:
    """v.bin.gz held plain bytes, and v.txt.gz had no format."""
    made, file = vectors(), tmp_path / name
    made.export(file)
    opener: Any = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}[file.suffix]
    made.export(tmp_path / file.stem)
    with opener(file) as stream:
        assert stream.read() == (tmp_path / file.stem).read_bytes()
    assert same(WordVectors.read(file), made)


def test_vectors_are_not_written_to_standard_output(tmp_path: Path) -> None:
    vectors().save(tmp_path / "vec")
    done = CliRunner().invoke(program, ["words", "export", str(tmp_path / "vec"), "-", "--to", "npz"])
    assert (done.exit_code, "- is no name for an output file" in done.stderr) == (1, True)


def test_a_compression_that_is_not_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing is written with Zstandard"):
        vectors().export(tmp_path / "v.bin.zst", "word2vec-bin")
    assert not list(tmp_path.iterdir())
