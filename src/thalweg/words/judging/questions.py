"""Analogy questions a - b + c = d, written down before the first fit was looked at and kept as they are.

A question counts for a set of vectors if they know all four words; the answer is right if d comes first (`rank` 1), the words of
the question left out. DOCS is for the corpus `docs:`, the language of programmers; EN and ZH are for encyclopaedic text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from thalweg.words.vectors.readout import Readout

Question = tuple[str, str, str, str]


def _table(text: str) -> list[Question]:
    rows = [line.split() for line in text.strip().splitlines()]
    return [(a, b, c, d) for a, b, c, d in rows]


DOCS = _table("""
    argmax max min argmin
    sin arcsin arccos cos
    cos cosine sine sin
    argmax maximum minimum argmin
    nanmax max min nanmin
    nanmax max sum nansum
    read reader writer write
    rows row column columns
    matrices matrix vector vectors
    encode encoder decoder decode
    encoding encode decode decoding
    int integer string str
    width columns rows height
    x horizontal vertical y
    left right bottom top
    first last end start
    getattr get set setattr
    getitem get set setitem
    upper ceil floor lower
    files file directory directories
    larger large small smaller
    greater great less lesser
    classes class function functions
    classifier classification regression regressor
    rfft fft ifft irfft
    fft2 fft ifft ifft2
    cumsum sum prod cumprod
    sinh sin cos cosh
    arrays array list lists
    keys key value values
    conv2d conv1d pool1d pool2d
    eigenvalues eigenvalue eigenvector eigenvectors
    maxpool2d maxpool1d avgpool1d avgpool2d
    std var variance deviation
    acquire lock unlock release
    opened open close closed
    zeros zero one ones
    minimize minimum maximum maximize
    lowest lower upper highest
    earlier before after later
    logical bitwise and or
    children child parent parents
    subtract minus plus add
    multiply product quotient divide
    inputs input output outputs
    loads load dump dumps
    readline read write writeline
""")

EN = _table("""
    king man woman queen
    paris france italy rome
    berlin germany spain madrid
    euro germany japan yen
    brother he she sister
    bigger big small smaller
    worst bad good best
    walked walk go went
    cars car child children
    airport aircraft train station
""")

ZH = _table("""
    机场 飞机 火车 火车站
    国王 男人 女人 女王
    北京 中国 日本 东京
    巴黎 法国 德国 柏林
    父亲 儿子 女儿 母亲
    哥哥 弟弟 妹妹 姐姐
    医院 医生 教师 学校
    教授 大学 中学 教师
    春季 春天 秋天 秋季
    上午 早上 晚上 下午
    机场 飞机 轮船 港口
    伦敦 英国 韩国 首尔
    德语 德国 法国 法语
    校长 大学 医院 院长
    球员 足球 电影 演员
    画家 绘画 雕塑 雕塑家
    国王 王国 帝国 皇帝
    妻子 丈夫 爸爸 妈妈
    书店 书 药 药店
    市长 城市 省 省长
""")


def ranks(vectors: Readout, questions: list[Question]) -> list[tuple[Question, int, str]]:
    """For every question that the vectors know: (question, rank of the right answer, the word that came first)."""
    unit = vectors.unit("concat")
    answers = []
    for question in questions:
        if not all(word in vectors for word in question):
            continue
        a, b, c, d = (vectors.place(word) for word in question)
        scores = unit @ (unit[a] - unit[b] + unit[c])
        scores[[a, b, c]] = -np.inf
        rank = 1 + int((scores > scores[d]).sum()) if d not in (a, b, c) else len(vectors)
        answers.append((question, rank, vectors.words[int(np.argmax(scores))]))
    return answers
