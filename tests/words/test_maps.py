"""Maps of words: the plane is the one the formula says, groups are found, names do not overlap, every file is whole and quiet."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import types
import warnings
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt
import pytest
from click.testing import CliRunner
from matplotlib.colors import to_rgb
from matplotlib.image import imread

from thalweg.cli import program
from thalweg.errors import InputError, MissingExtraError, OutputExistsError, UnknownWordError
from thalweg.words import WordVectors
from thalweg.words.pictures import drawing, labels, maps
from thalweg.words.pictures.maps import WordMap

Doubles = npt.NDArray[np.float64]


def vectors(n: int = 60, dim: int = 7, words: list[str] | None = None, groups: int = 0, seed: int = 0) -> WordVectors:
    """Random vectors; with `groups`, word j is near the centre j % groups."""
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((n, dim)).astype(np.float32)
    if groups:
        rows = rows * np.float32(0.05) + (5 * np.eye(groups, dim, dtype=np.float32))[np.arange(n) % groups]
    return WordVectors(words or [f"word{j}" for j in range(n)], np.arange(n, 0, -1) * 10, rows)


# ---- the plane


def test_pca_is_the_projection_on_the_eigenvectors_of_the_covariance() -> None:
    """The coordinates are uncorrelated, their variances the two largest eigenvalues, the shares these over the trace."""
    wv = vectors()
    rows = wv.vectors().astype(float)
    values = np.linalg.eigvalsh(np.cov(rows.T))[::-1]
    found = wv.map()
    np.testing.assert_allclose(np.cov(found.xy.T), np.diag(values[:2]), atol=1e-9)
    np.testing.assert_allclose(found.xy.mean(axis=0), 0, atol=1e-12)
    assert found.shares == pytest.approx(values[:2] / values.sum())


def test_a_plane_is_found_as_it_is() -> None:
    """Vectors that lie in a plane keep all their distances."""
    rng = np.random.default_rng(1)
    flat = rng.standard_normal((30, 2)) @ np.linalg.qr(rng.standard_normal((9, 2)))[0].T
    xy, shares = maps.main_directions(flat)
    np.testing.assert_allclose(distances(xy), distances(flat), atol=1e-9)
    assert sum(shares) == pytest.approx(1)


def distances(rows: Doubles) -> Doubles:
    return np.asarray(np.linalg.norm(rows[:, None] - rows[None], axis=2))


@pytest.mark.parametrize("method", ["pca", "tsne"])
def test_the_largest_entry_of_each_axis_is_positive(method: str) -> None:
    """The picture does not flip between machines; turning all vectors over changes nothing of this."""
    for seed in range(4):
        xy = vectors(24, seed=seed).map(method=method).xy
        assert (xy[np.abs(xy).argmax(axis=0), [0, 1]] > 0).all()


@pytest.mark.parametrize(("n", "dim"), [(1, 5), (2, 5), (3, 1), (5, 2)])
def test_a_map_of_very_few_words_or_dimensions(n: int, dim: int) -> None:
    found = vectors(n, dim).map()
    assert found.xy.shape == (n, 2)
    assert np.isfinite(found.xy).all()
    assert "<svg" in found.svg()
    if dim == 1 or n <= 2:
        assert (found.xy[:, 1] == 0).all()


def test_equal_vectors_lie_on_one_spot() -> None:
    wv = WordVectors(["aa", "bb", "cc", "dd"], None, np.ones((4, 3), np.float32))
    found = wv.map(clusters=3)
    assert (found.xy == 0).all()
    assert (found.cluster == 0).all()
    assert "<svg" in found.svg()


@pytest.mark.parametrize("method", ["pca", "tsne"])
def test_the_same_seed_gives_the_same_map(method: str) -> None:
    wv = vectors(40)
    one, two = (wv.map(method=method, seed=2**40 + 3) for _ in range(2))
    assert np.array_equal(one.xy, two.xy)
    assert np.array_equal(one.cluster, two.cluster)
    assert one.svg() == two.svg()


def test_tsne_keeps_groups_together() -> None:
    """Three tight groups: every word's nearest neighbour on the map is of its own group."""
    found = vectors(45, groups=3).map(method="tsne", clusters=3)
    apart = distances(found.xy) + np.diag(np.full(45, np.inf))
    assert (apart.argmin(axis=1) % 3 == np.arange(45) % 3).all()


def test_umap_gets_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for umap-learn: the seed, a start and fewer neighbours than words."""
    seen: dict[str, object] = {}

    class UMAP:
        def __init__(self, **options: object) -> None:
            seen.update(options)

        def fit_transform(self, rows: Doubles) -> Doubles:
            return rows[:, :2]

    monkeypatch.setitem(sys.modules, "umap", types.SimpleNamespace(UMAP=UMAP))
    assert vectors(8).map(method="umap").xy.shape == (8, 2)
    assert (seen["n_neighbors"], seen["n_jobs"], np.shape(seen["init"])) == (7, 1, (8, 2))  # type: ignore[arg-type]


def test_without_umap_learn_one_line_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(MissingExtraError, match="pip install umap-learn"):
        vectors(8).map(method="umap")


# ---- which words


def test_the_default_words_are_the_frequent_ones_that_say_something() -> None:
    """Stop words of both languages, single characters and numbers are left out; the order is that of frequency."""
    wv = vectors(9, words=["the", "的", "river", "x", "我们", "2020", "The", "机场", "42nd"])
    assert wv.map().words == ["river", "机场", "42nd"]
    assert wv.map(n=2).words == ["river", "机场"]


def test_where_all_words_are_dull_the_most_frequent_are_shown() -> None:
    assert vectors(3, words=["the", "of", "and"]).map(n=2).words == ["the", "of"]


def test_given_words_are_shown_in_their_order_each_once() -> None:
    assert vectors().map(["word5", "Word2", "word5"]).words == ["word5", "word2"]
    assert vectors().map("word7").words == ["word7"]


def test_neighbours_are_the_most_similar_of_each_word() -> None:
    wv = vectors()
    found = wv.map(["word3", "word9"], neighbours=4)
    near = {word for asked in ("word3", "word9") for word, _ in wv.similar(asked, topn=4)}
    assert set(found.words) == near | {"word3", "word9"}
    assert found.words[:2] == ["word3", "word9"]
    assert found.asked == 2


# ---- groups


def test_groups_are_found_and_numbered_by_size() -> None:
    """Centres 0, 1, 2 with 21, 20, 20 words: the partition is the right one, group 0 the largest."""
    found = vectors(61, groups=3).map(clusters=3)
    assert np.array_equal(found.cluster, np.arange(61) % 3)
    assert [len(group) for group in found.groups()] == [21, 20, 20]
    assert found.n_clusters == 3


def test_the_number_of_groups_grows_with_the_words() -> None:
    assert [vectors(n).map().n_clusters for n in (5, 16, 60)] == [1, 2, 7]
    assert vectors(5).map(clusters=12).n_clusters == 5


def test_each_group_has_a_shape_of_its_own() -> None:
    assert len(set(drawing.SHAPES)) == len(drawing.SHAPES) == maps.MOST_GROUPS
    assert len({drawing._mark(k) for k in range(maps.MOST_GROUPS)}) == maps.MOST_GROUPS


@pytest.mark.parametrize("colour", drawing.COLOURS)
def test_names_can_be_read_on_white(colour: str) -> None:
    """WCAG 2.1: a contrast of 4.5 to 1, (1 + 0.05)/(luminance + 0.05)."""
    assert 1.05 / (drawing.luminance(np.asarray(to_rgb(drawing.ink(colour)))) + 0.05) >= 4.5


# ---- names


def boxes_of(centres: Doubles, sizes: Doubles) -> Doubles:
    return np.concatenate([centres - sizes / 2, centres + sizes / 2], axis=1)


def meeting(boxes: Doubles) -> int:
    """Pairs of rectangles that overlap."""
    n = 0
    for j, a in enumerate(boxes):
        for b in boxes[:j]:
            n += bool((a[:2] < b[2:]).all() and (b[:2] < a[2:]).all())
    return n


def test_all_names_find_room_where_there_is_room() -> None:
    """A grid of points 50 apart and names 40 wide: each stands to the right of its point, without a line."""
    points = np.stack(np.meshgrid(np.arange(5) * 50.0 + 10, np.arange(5) * 50.0 + 10), axis=-1).reshape(-1, 2)
    sizes = np.tile([40.0, 10.0], (25, 1))
    centres = labels.place(points, sizes, (300.0, 300.0))
    assert np.isfinite(centres).all()
    np.testing.assert_allclose(centres - points, np.tile([20.0 + labels.DISTANCES[0], 0], (25, 1)))
    assert all(labels.touching(*row) is None for row in zip(points, centres, sizes, strict=True))


def test_names_in_a_crowd_move_or_stay_out_but_never_meet() -> None:
    """200 points in a disc. No two names meet, none covers another point, all lie in the frame; the first is always there."""
    rng = np.random.default_rng(5)
    points = 150 + 40 * rng.standard_normal((200, 2))
    sizes = np.stack([rng.uniform(10, 50, 200), np.full(200, 9.0)], axis=1)
    centres = labels.place(points, sizes, (300.0, 300.0))
    there = np.isfinite(centres[:, 0])
    assert there[0]
    assert 40 < there.sum() < 200
    boxes = boxes_of(centres[there], sizes[there])
    assert meeting(boxes) == 0
    assert (boxes >= 0).all()
    assert (boxes <= 300).all()
    for j, box in zip(np.flatnonzero(there), boxes, strict=True):
        others = np.delete(points, j, axis=0)
        assert not ((others > box[:2]) & (others < box[2:])).all(axis=1).any()


def test_words_at_the_same_spot_do_not_hinder_each_other() -> None:
    centres = labels.place(np.full((3, 2), 50.0), np.tile([20.0, 9.0], (3, 1)), (100.0, 100.0))
    assert np.isfinite(centres).all()
    assert meeting(boxes_of(centres, np.tile([20.0, 9.0], (3, 1)))) == 0


def test_the_names_of_a_picture_do_not_overlap_as_drawn() -> None:
    """Measured with matplotlib's own renderer, apart from the line height."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    fig = vectors(80).map().plot()
    renderer = FigureCanvasAgg(fig).get_renderer()
    found = [text.get_window_extent(renderer).extents for text in fig.axes[0].texts]
    assert len(found) > 60
    assert meeting(np.asarray([(x0, y0 + 1, x1, y1 - 1) for x0, y0, x1, y1 in found])) == 0


def test_long_and_hostile_words_are_shown_harmlessly() -> None:
    hostile = ["a" * 900, "$x^2$", "</svg><script>alert(1)</script>", "a\x1b[31m\u202eb", "_b", "\\alpha", "x\ud800y"]
    found = vectors(len(hostile), words=hostile).map(hostile)
    texts = {"".join(e.itertext()) for e in ElementTree.fromstring(found.svg()).iter("{http://www.w3.org/2000/svg}text")}
    assert {"$x^2$", "a\\x1b[31m\\u202eb", "_b", "\\alpha", "x\\ud800y", "a" * 21 + "…"} <= texts
    page = drawing.page(found)
    assert "<script" not in page
    assert "a" * 900 in page


# ---- fonts


@pytest.mark.usefixtures("machine_fonts")
def test_chinese_names_have_glyphs(tmp_path: Path) -> None:
    """matplotlib warns of each glyph that it draws as an empty box, and every warning is an error here."""
    vectors(3, words=["机场", "飞机", "河流"]).map().save(tmp_path / "map.png")


def test_a_missing_font_is_one_warning_with_its_remedy(tmp_path: Path) -> None:
    found = vectors(3, words=["机场", "飞机", "河流"]).map()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found.save(tmp_path / "map.png")
    assert [str(w.message).rpartition(": ")[2] for w in caught] == ["apt-get install fonts-noto-cjk"]
    found.save(tmp_path / "map.html")  # no warning: the browser has its own fonts


def test_a_home_that_cannot_be_written_to_is_no_matter_of_a_picture(tmp_path: Path) -> None:
    """matplotlib told twice, for each process that draws, that its folder cannot be made."""
    vectors(30).save(tmp_path / "vec")
    bare = {name: value for name, value in os.environ.items() if name != "MPLCONFIGDIR"}
    command = [
        sys.executable,
        "-m",
        "thalweg",
        "words",
        "map",
        str(tmp_path / "vec"),
        "--out",
        str(tmp_path / "map.svg"),
        "--quiet",
    ]
    done = subprocess.run(command, env=bare, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


# ---- files


@pytest.fixture(scope="module")
def small() -> WordMap:
    return vectors(30).map(["word3", "word9"], neighbours=12)


def test_json_holds_every_number(small: WordMap, tmp_path: Path) -> None:
    small.save(tmp_path / "map.json")
    value = json.loads((tmp_path / "map.json").read_text(encoding="utf-8"))
    assert value["method"] == "pca"
    assert [point["word"] for point in value["words"]] == small.words
    assert [[point["x"], point["y"]] for point in value["words"]] == small.xy.tolist()
    assert [point["cluster"] for point in value["words"]] == small.cluster.tolist()


def test_png_and_svg_are_pictures(small: WordMap, tmp_path: Path) -> None:
    small.save(tmp_path / "map.PNG")
    small.save(tmp_path / "map.svg")
    height, width, _ = imread(tmp_path / "map.PNG").shape
    assert (height > 500, width) == (True, 940)
    svg = (tmp_path / "map.svg").read_text(encoding="utf-8")
    assert ElementTree.fromstring(svg).get("role") == "img"
    assert small.svg() in small._repr_html_()


def test_the_page_lists_every_word_and_loads_nothing(small: WordMap, tmp_path: Path, references) -> None:  # type: ignore[no-untyped-def]
    small.save(tmp_path / "map.html")
    page = (tmp_path / "map.html").read_text(encoding="utf-8")
    listed = re.sub(r"<[^>]+>", " ", page[page.index("The groups") :])
    assert set(small.words) <= set(re.findall(r"\w+", listed))
    assert references(page) == []
    assert "<strong>word3</strong>" in page


@pytest.mark.browser
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_fits_a_desk_and_a_phone(tmp_path: Path, visit, width: int) -> None:  # type: ignore[no-untyped-def]
    """Nothing sticks out sideways, and on a phone the names are as high as on paper, 7 pixels or more."""
    vectors(120).map().save(tmp_path / "map.html")
    seen = visit(tmp_path / "map.html", width)
    assert seen.overflow() == 0
    heights = seen.page.evaluate("[...document.querySelectorAll('figure svg text')].map(t => t.getBoundingClientRect().height)")
    assert min(heights) > 7


def test_a_file_is_not_replaced_unasked(small: WordMap, tmp_path: Path) -> None:
    (tmp_path / "map.json").write_text("mine")
    with pytest.raises(OutputExistsError, match="--overwrite"):
        small.save(tmp_path / "map.json")
    assert (tmp_path / "map.json").read_text() == "mine"
    small.save(tmp_path / "map.json", overwrite=True)
    assert (tmp_path / "map.json").read_text().startswith("{")


def test_a_map_says_what_it_is(small: WordMap) -> None:
    assert re.fullmatch(r"WordMap\(\d+ words, PCA, \d groups\)", repr(small))
    assert len(small) == len(small.words) == len(small.xy)


# ---- wrong use


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "tnse"}, "Did you mean tsne"),
        ({"n": 0}, "n=0"),
        ({"clusters": 13}, "clusters=13 is more than the 12"),
        ({"clusters": 0}, "clusters=0"),
        ({"seed": -1}, "seed=-1"),
        ({"neighbours": 3}, "neighbours=3 needs words"),
        ({"words": []}, "list of words to map is empty"),
        ({"words": ["word1", "word2"], "method": "tsne"}, "t-SNE needs 4 words or more, there are 2"),
        ({"output": "smu"}, "output='smu'"),
    ],
)
def test_wrong_arguments_are_one_line(options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        vectors().map(**options)  # type: ignore[arg-type]


def test_an_unknown_word_is_an_unknown_word() -> None:
    with pytest.raises(UnknownWordError, match="Near spellings: word5"):
        vectors().map(["wrod5"])


def test_a_vector_that_is_not_finite_is_named() -> None:
    wv = vectors()
    wv.word[4, 2] = np.nan
    with pytest.raises(InputError, match="word4"):
        wv.map()


# ---- the command


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("map") / "vec"
    vectors(40).save(path)
    return path


def test_the_command_writes_the_map_and_prints_its_numbers(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "m.json"
    done = CliRunner().invoke(program, ["words", "map", str(folder), "word1", "--neighbours", "9", "--out", str(out), "--json"])
    assert done.exit_code == 0, done.stderr
    value, written = json.loads(done.stdout), json.loads(out.read_text(encoding="utf-8"))
    assert value["command"] == "words map"
    assert value["result"]["words"] == written["words"]
    assert len(written["words"]) == 10
    expected = WordVectors.load(folder).map(["word1"], neighbours=9)
    assert [point["word"] for point in written["words"]] == expected.words


def test_the_command_says_what_to_try_next(folder: Path, tmp_path: Path) -> None:
    args = ["words", "map", str(folder), "--n", "12", "--clusters", "2", "--out", str(tmp_path / "m.svg")]
    done = CliRunner().invoke(program, args)
    assert done.exit_code == 0, done.stderr
    assert "12 in 2 groups" in done.stdout
    assert "--method tsne" in done.stderr
    quiet = CliRunner().invoke(program, [*args, "--overwrite", "--quiet"])
    assert (quiet.exit_code, quiet.stderr) == (0, "")
