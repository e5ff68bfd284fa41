"""`thalweg words evaluate`: how good vectors are, alone or beside others."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from thalweg import options
from thalweg.console import Console
from thalweg.errors import InputError, UsageError
from thalweg.words.commands.asking import subwords_option
from thalweg.words.commands.converting import oddities

if TYPE_CHECKING:
    from thalweg.words.judging.evaluation import Accuracy, AnalogyResult, AnalogySet, Evaluation, NormsResult, PairSet, PairsResult
    from thalweg.words.judging.goodness import Fit
    from thalweg.words.wordvectors import WordVectors

T = TypeVar("T")


@options.command(
    "evaluate",
    examples=[
        "thalweg words evaluate vec",
        "thalweg words evaluate vec --pairs wordsim353.tsv --against glove.txt",
    ],
)
@click.argument("vectors", type=options.ExistingPath())
@options.option(
    "--analogies", type=options.ExistingPath(), multiple=True, metavar="FILE", help="Questions, 'a b c d' a line; can be repeated."
)
@options.option(
    "--pairs", type=options.ExistingPath(), multiple=True, metavar="FILE", help="'word word score' a line; can be repeated."
)
@options.option("--against", type=options.ExistingPath(), metavar="PATH", help="Other vectors, compared on the words both know.")
@options.option("--restrict", type=options.Number(int, low=1), help="Only among the N most frequent words.")
@options.option("--method", type=options.Choice(["add", "mul"]), help="3CosAdd or 3CosMul.  [default: both]")
@options.option(
    "--output",
    type=options.Choice(["sum", "concat", "word"]),
    help="Which vectors are read off the fit.  [default: concat for analogies, sum for pairs]",
)
@subwords_option
@options.option("--guess", is_flag=True, help="Of the pairs, take words that are not known for what their letters say.")
@options.option("--fit", is_flag=True, help="Also how close inner products are to the counted PMI (needs the counts of the fit).")
@options.option("--encoding", default="utf-8", advanced=True, help="Encoding of files that are not UTF-8, such as gb18030.")
@options.threads_option
@options.json_option
@options.quiet_option
def evaluate(
    vectors: Path,
    analogies: tuple[Path, ...],
    pairs: tuple[Path, ...],
    against: Path | None,
    restrict: int | None,
    method: str | None,
    output: str | None,
    subwords: float | None,
    guess: bool,
    fit: bool,
    encoding: str,
    threads: int | None,
    json: bool,
    quiet: bool,
) -> None:
    """Score vectors on analogies and on human judgements of similarity.

    An analogy is right if no other word scores higher; accuracy is over the questions whose words are all known, and over all.
    Similarity is Spearman's correlation between cosine and human score, with its 95% interval. Without --analogies and --pairs it
    asks the built-in questions and checks that words without meaning of their own are short.
    """
    from thalweg.words.judging import evaluation

    if guess and not pairs:
        raise UsageError("--guess is for --pairs: an analogy asks which of the known words comes first")
    if guess and against is not None:
        raise UsageError("--guess goes without --against: two sets of vectors are compared on the words that both know")
    console = Console(json=json, quiet=quiet, command="words evaluate")
    questions = [
        evaluation.read_analogies(path, encoding) for path in analogies
    ]  # wrong files are seen before the vectors are read
    judgements = [evaluation.read_pairs(path, encoding) for path in pairs]
    names = {each.name for each in questions} | {each.name for each in judgements}
    if len(names) < len(analogies) + len(pairs):  # files of one name in several folders
        questions = [replace(each, name=str(path)) for each, path in zip(questions, analogies, strict=True)]
        judgements = [replace(each, name=str(path)) for each, path in zip(judgements, pairs, strict=True)]
    wv = _opened(vectors, encoding, console)
    wv = wv if subwords is None else wv.with_subwords(subwords)
    other = None if against is None else _opened(against, encoding, console)
    checks: list[tuple[str, NormsResult]] = []
    if not (questions or judgements):
        questions = _built_in(wv, vectors)
        checks = [(str(path), _norms(each, output)) for path, each in ((vectors, wv), (against, other)) if each is not None]
    found = evaluation.evaluate(
        wv, questions, judgements, against=other, restrict=restrict, output=output, method=method, guess=guess, threads=threads
    )
    _check_coverage(console, found, vectors, questions, judgements)
    columns = [(str(vectors), found)]
    if found.against is not None:
        columns.append((str(against), found.against))
    console.note(_what(found, columns))
    closeness = _fit(wv) if fit else None
    value = _value(columns, checks) | ({"fit": closeness} if fit else {})
    console.result(value, lambda: _show(console, _short(columns), _short(checks), closeness))


def _opened(path: Path, encoding: str, console: Console) -> WordVectors:
    from thalweg.words.wordvectors import WordVectors

    if path.is_dir():
        return WordVectors.load(path)
    wv = WordVectors.read(path, encoding=encoding)
    for note in oddities(wv.info):
        console.note(f"{path}: {note}")
    return wv


def _built_in(wv: WordVectors, path: Path) -> list[AnalogySet]:
    from thalweg.words.judging.evaluation import built_in

    questions = built_in(wv)
    if questions is None:
        msg = f"{path} covers none of the built-in questions: name test sets with --analogies and --pairs"
        raise InputError(msg)
    return [questions]


def _norms(wv: WordVectors, output: str | None) -> NormsResult:
    from thalweg.words.judging.evaluation import norms
    from thalweg.words.vectors.stopwords import STOPWORDS

    return norms(wv, [word for words in STOPWORDS.values() for word in words], output=output)


def _fit(wv: WordVectors) -> Fit:
    from thalweg.words.judging.goodness import of_vectors

    return of_vectors(wv)


def _check_coverage(
    console: Console, found: Evaluation, path: Path, questions: list[AnalogySet], judgements: list[PairSet]
) -> None:
    """InputError if nothing at all is covered, a note for each test set of which nothing is."""
    n_covered = {(result.name, result.total.covered) for result in found.analogies} | {(p.name, p.n_covered) for p in found.pairs}
    if any(n for _, n in n_covered):
        for name in sorted(name for name, n in n_covered if not n):
            console.note(f"{name}: none of its words are known together, so nothing is covered")
        return
    n_questions, n_pairs = sum(len(each.questions) for each in questions), sum(len(each.pairs) for each in judgements)
    asked = " and ".join(f"{n:,} {what}{'s' * (n > 1)}" for n, what in ((n_questions, "question"), (n_pairs, "pair")) if n)
    whose = f"of {path}" if found.against is None else f"that {path} and {found.against.name} share"
    msg = f"of {asked} none is covered by the {found.n_words:,} words {whose}: is it the language of the test set?"
    raise InputError(msg)


def _what(found: Evaluation, columns: list[tuple[str, Evaluation]]) -> str:
    shared = " that both know" if len(columns) > 1 else ""
    return f"among {found.n_words:,} words{shared}; accuracy in percent of the covered questions"


def _short(columns: list[tuple[str, T]]) -> list[tuple[str, T]]:
    """Paths by their last part, if that tells them apart: heads of columns are to be narrow."""
    names = [Path(path).resolve().name for path, _ in columns]
    return list(zip(names, (each for _, each in columns), strict=True)) if len(set(names)) == len(names) else columns


def _show(console: Console, columns: list[tuple[str, Evaluation]], checks: list[tuple[str, NormsResult]], fit: Fit | None) -> None:
    first = columns[0][1]
    tables = 0
    for name in dict.fromkeys(result.name for result in first.analogies):
        console.print("\n" * (tables > 0) + name)
        _show_analogies(console, [(path, [r for r in each.analogies if r.name == name]) for path, each in columns])
        tables += 1
    if first.pairs:
        if tables:
            console.print("")
        _show_pairs(console, [(path, each.pairs) for path, each in columns])
    if checks:
        console.print("")
        _show_norms(console, checks)
    if fit is not None:
        console.print("")
        fits = [fit] if fit.held_out is None else [fit, fit.held_out]
        rows = [
            ("counted pairs", *(each.n_pairs for each in fits)),
            ("weighted R²", *(_number(each.r2) for each in fits)),
            ("mean error, nats", *(_number(each.mean_error) for each in fits)),
            ("rms error, nats", *(_number(each.rms_error) for each in fits)),
        ]
        console.table(["fit of the inner products", *(["value"] if len(fits) == 1 else ["seen", "held out"])], rows)


def _show_analogies(console: Console, columns: list[tuple[str, list[AnalogyResult]]]) -> None:
    results = [(path, result) for path, each in columns for result in each]
    alone = len(columns) == 1
    head = ["section", "asked", "covered", *(result.method if alone else f"{result.method} {path}" for path, result in results)]
    if alone:  # of all that were asked: side by side on the same words it is the same comparison
        head += [f"{result.method} of all" for _, result in results]
    rows = []
    for lines in zip(*(_lines(result) for _, result in results), strict=True):
        row: list[object] = [lines[0].name, lines[0].asked, lines[0].covered, *(_percent(line.of_covered) for line in lines)]
        rows.append(row + [_percent(line.of_asked) for line in lines] * alone)
    console.table(head, rows)


def _lines(result: AnalogyResult) -> list[Accuracy]:
    """Sections where there are several, semantic and syntactic where there are both, and the total."""
    sections = list(result.sections) if len(result.sections) > 1 else []
    halves = [half for half in (result.semantic, result.syntactic) if result.semantic.asked and result.syntactic.asked]
    return [*sections, *halves, result.total]


def _show_pairs(console: Console, columns: list[tuple[str, tuple[PairsResult, ...]]]) -> None:
    alone = len(columns) == 1
    head = ["pairs", "asked", "covered"]
    for path, _ in columns:
        head += ["spearman" if alone else f"spearman {path}", "95% interval"]
    rows = []
    for results in zip(*(each for _, each in columns), strict=True):
        row: list[object] = [results[0].name, results[0].n, results[0].n_covered]
        for result in results:
            row += [_number(result.spearman), "-" if math.isnan(result.low) else f"{result.low:.3f} to {result.high:.3f}"]
        rows.append(row)
    console.table(head, rows)


def _show_norms(console: Console, checks: list[tuple[str, NormsResult]]) -> None:
    head = ["length", *(["value"] if len(checks) == 1 else [path for path, _ in checks])]
    lines: list[tuple[str, Callable[[NormsResult], float | None]]] = [
        ("stop words among all, %", lambda r: _percent(r.chance)),
        ("stop words among the shortest 100, %", lambda r: _percent(r.shortest_100)),
        ("stop words among the shortest 200, %", lambda r: _percent(r.shortest_200)),
        ("spearman of |y|^2 and -ln P, 1,000 words", lambda r: _number(r.spearman_frequent)),
        ("spearman of |y|^2 and -ln P, all words", lambda r: _number(r.spearman_all)),
    ]
    console.table(head, [[name, *(cell(result) for _, result in checks)] for name, cell in lines])


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value


def _percent(share: float) -> float | None:
    return _number(100 * share)


def _value(columns: list[tuple[str, Evaluation]], checks: list[tuple[str, NormsResult]]) -> dict[str, Any]:
    """The result as plain values; the other vectors' under "against"."""
    values = [
        {
            "vectors": path,
            "n_words": found.n_words,
            "analogies": [_analogy_value(result) for result in found.analogies],
            "pairs": found.pairs,
            "norms": checks[k][1] if checks else None,
        }
        for k, (path, found) in enumerate(columns)
    ]
    return values[0] | {"against": values[1] if len(values) > 1 else None}


def _analogy_value(result: AnalogyResult) -> dict[str, Any]:
    def plain(line: Accuracy) -> dict[str, Any]:
        return {
            "name": line.name, "right": line.right, "covered": line.covered, "asked": line.asked,
            "accuracy": line.of_covered, "accuracy_of_all": line.of_asked,
        }  # fmt: skip

    return {
        "name": result.name,
        "method": result.method,
        "sections": [plain(line) for line in result.sections],
        "semantic": plain(result.semantic),
        "syntactic": plain(result.syntactic),
        "total": plain(result.total),
    }
