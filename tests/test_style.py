"""Figures: text stays text in every script, the same figure is the same bytes, two of them share a page."""

from __future__ import annotations

import re
import runpy
import subprocess
import warnings
from pathlib import Path
from xml.etree import ElementTree

import matplotlib as mpl
import pytest
from matplotlib import font_manager
from matplotlib.backends.backend_agg import FigureCanvasAgg

from thalweg import fonts, style


def picture(title: str = "数学 <b> & $", alt: str = "a line", salt: str = "", n: int = 3) -> str:
    fig, axes = style.figure()
    axes.plot(range(n), range(n), marker="o")
    axes.scatter(range(n), range(n))
    axes.set_title(style.plain(title))
    return style.svg(fig, alt, salt=salt)


# ---- text


@pytest.mark.usefixtures("machine_fonts")
def test_chinese_labels_have_glyphs():
    """matplotlib warns of each glyph that it draws as an empty box; with the font found it warns of none."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fig, axes = style.figure()
        axes.set(title="互信息：内积与余弦", xlabel="轮数", ylabel="能量（nat）")
        FigureCanvasAgg(fig).draw()
        style.svg(fig, "能量")


@pytest.mark.usefixtures("machine_fonts")
def test_minus_signs_and_latin_letters_have_glyphs_beside_chinese_ones():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fig, axes = style.figure()
        axes.plot([-1, 1], [-1e-3, 1e6])
        axes.set_title("R² − é ß Ω ≤ 数")
        FigureCanvasAgg(fig).draw()


def texts_of(svg: str) -> list[str]:
    return ["".join(element.itertext()) for element in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]


@pytest.mark.parametrize("title", ["数学 <b> & x", "<!-- x --> y", "<metadata>x</metadata> y", 'id: id="figure_1" y', "url(#x) y"])
def test_text_stays_text(title):
    """It can be searched and copied, the reader's browser finds the glyphs, and none is taken for the picture's own markup."""
    assert title in texts_of(picture(title))


def test_hidden_characters_do_not_end_a_picture():
    """XML has no place for most control characters; they are shown."""
    assert "a\\x1b[0mb\\x00\\u202e" in texts_of(picture("a\x1b[0mb\x00\u202e"))


@pytest.mark.parametrize("title", ["$5 and $6", "$", "$$", "a_b^c $x", r"$\frac{", r"\$", r"\alpha $1"])
def test_plain_text_is_shown_as_it_is(title):
    """Without it `$5 and $6` is set as a formula, and `$\\frac{` is an error."""
    assert title in texts_of(picture(title))


def test_the_alternative_text_is_escaped():
    alt = "\"><script>1</script> & 'x'"
    assert ElementTree.fromstring(picture(alt=alt)).get("aria-label") == alt


# ---- pages


def test_the_same_figure_is_the_same_bytes_without_a_date():
    assert picture() == picture()
    assert not re.search(r"<metadata|<dc:|\d{4}-\d\d-\d\dT|Matplotlib", picture())


def test_a_picture_is_one_well_formed_element_that_scales(references):
    root = ElementTree.fromstring(picture())
    assert root.get("viewBox")
    assert root.get("role") == "img"
    assert root.get("width") is None
    assert references(picture()) == []


@pytest.mark.parametrize("salts", [("", ""), ("a", "b")])
def test_two_pictures_on_a_page_share_no_id_for_different_things(salts):
    """A clip path or a marker that is referred to by its id must be the picture's own; so must every other id of a page."""
    contents: list[dict[str, bytes]] = []
    for salt, n in zip(salts, (3, 4), strict=True):
        root = ElementTree.fromstring(picture(f"{n} points", salt=salt, n=n))
        contents.append({e.get("id", ""): ElementTree.tostring(e) for e in root.iter() if e.get("id") is not None})
    first, second = contents
    assert {name for name in first.keys() & second.keys() if first[name] != second[name]} == set()


def test_every_reference_in_a_picture_is_answered_in_it():
    text = picture()
    used = set(re.findall(r'(?:href="|url\()#([^")]+)', text))
    assert used
    assert used <= set(re.findall(r' id="([^"]+)"', text))


def test_no_figure_is_no_picture():
    with pytest.raises(ValueError, match="no figure"):
        style.svg(None, "nothing")


# ---- the energy


@pytest.mark.parametrize(("path", "scale"), [([9.0, 3.0, 1.0], "linear"), ([99.0, 9.0, 1.0], "log"), ([99.0, 0.0, -1.0], "linear")])
def test_an_energy_is_drawn_record_by_record_logarithmically_where_it_spans_decades(path, scale):
    """Over a factor of 50, and only if it is positive throughout."""
    axes = style.energy_plot(path, title="falls", steps="sweep", energy="loss")
    [line] = axes.lines
    assert list(line.get_xdata()) == [0, 1, 2]
    assert list(line.get_ydata()) == path
    assert axes.get_yscale() == scale
    assert (axes.get_title(loc="left"), axes.get_xlabel(), axes.get_ylabel()) == ("falls", "sweep", "loss")
    assert all(tick == int(tick) for tick in axes.get_xticks())


def test_an_energy_is_drawn_where_it_is_wanted():
    _, axes = style.figure()
    assert style.energy_plot([2.0, 1.0], title="t", ax=axes) is axes
    assert len(axes.lines) == 1


def test_an_energy_of_one_record_can_be_drawn():
    assert len(style.energy_plot([1.0], title="t").lines) == 1


# ---- manners


def test_drawing_changes_no_setting_of_the_users():
    before = dict(mpl.rcParams)
    picture()
    style.energy_plot([3.0, 2.0], title="t")
    assert dict(mpl.rcParams) == before


def test_lines_differ_without_colour():
    cycle = list(style._settings()["axes.prop_cycle"])
    assert len({str(entry["linestyle"]) for entry in cycle}) == len({entry["color"] for entry in cycle}) == len(cycle)


def test_only_families_that_are_there_are_asked_for():
    """matplotlib logs a line per text for each family that is absent."""
    families = style._settings()["font.family"]
    assert set(families) <= {entry.name for entry in font_manager.fontManager.ttflist}


def sketch() -> str:
    fig, axes = style.figure()
    axes.plot([-1, 1], [-1e-3, 1e6])
    axes.set(title="互信息：内积与余弦 तुम ไทย 😀", xlabel="轮数", ylabel="能量（nat）")
    axes.text(0, 0, "粗体", fontweight="bold")
    return style.svg(fig, "能量")


def test_a_picture_needs_no_font_of_this_machine(caplog):
    """Without Chinese fonts each label was a warning of matplotlib's, with them two or three lines of its log."""
    assert "互信息：内积与余弦 तुम ไทย 😀" in texts_of(sketch())
    assert caplog.records == []
    assert "thalweg" not in re.sub(r'aria-label="[^"]*"', "", sketch())  # names of our own mean nothing to a browser
    assert "'Noto Sans CJK SC'" in sketch()


@pytest.mark.usefixtures("machine_fonts")
def test_pixels_take_the_simplified_face_and_log_nothing(caplog):
    """fontconfig's list was taken in its order: the bold file first, and of that the Japanese face."""
    fig, axes = style.figure()
    axes.set_title("直骨")
    FigureCanvasAgg(fig).draw()
    assert caplog.records == []
    names = [entry for entry in font_manager.fontManager.ttflist if entry.name == fonts.CHINESE]
    assert sorted(entry.weight for entry in names) == [400, 700]
    if "CJK" in fonts.cjk_family():
        assert fonts.cjk_family().endswith("SC")


def test_a_picture_has_the_same_bytes_with_and_without_fonts(machine_fonts, monkeypatch):
    with_fonts = sketch()
    monkeypatch.setattr(fonts, "cjk_family", lambda: None)
    fonts.here.cache_clear()
    style._settings.cache_clear()
    assert sketch() == with_fonts


def test_boxes_are_what_their_script_makes():
    path = Path(__file__).parent.parent / "scripts" / "boxes_font.py"
    made = runpy.run_path(str(path))["made"]()
    assert made == Path(fonts.__file__).with_name("boxes.ttf").read_bytes()


@pytest.fixture
def no_known_family(monkeypatch):
    monkeypatch.setattr(fonts, "FAMILIES", ())


ask_fontconfig = fonts.cjk_family.__wrapped__  # before the tests hide it


@pytest.mark.usefixtures("no_known_family")
@pytest.mark.parametrize("error", [FileNotFoundError(), subprocess.TimeoutExpired("fc-list", 10)], ids=["absent", "hangs"])
def test_without_fontconfig_there_is_no_chinese_font(monkeypatch, error):
    def fail(*args, **kwargs):
        raise error

    monkeypatch.setattr(fonts.subprocess, "run", fail)
    assert ask_fontconfig() is None


@pytest.mark.usefixtures("no_known_family")
def test_a_font_that_is_newer_than_matplotlibs_list_is_found_by_fontconfig(monkeypatch, tmp_path):
    """A file that is no font is passed over."""
    (tmp_path / "broken.ttf").write_text("no font")
    there = font_manager.findfont("DejaVu Sans")
    listed = subprocess.CompletedProcess([], 0, stdout=f"{tmp_path}/absent.ttf: \n{tmp_path}/broken.ttf: \n{there}: \n")
    monkeypatch.setattr(fonts.subprocess, "run", lambda *args, **kwargs: listed)
    assert ask_fontconfig() == "DejaVu Sans"
