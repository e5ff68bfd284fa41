"""Words that say little by themselves, for the check that their vectors are short. By language, frequent ones only."""

from __future__ import annotations


def _words(text: str) -> list[str]:
    return text.split()


EN = _words("""
a about above after again against all also although am among an and another any are as at be because been before being below
between both but by can could did do does doing down during each either else even ever every few for from further had has have
having he her here hers herself him himself his how however i if in into is it its itself just may me might more most much must my
myself neither no nor not now of off often on once one only onto or other our ours ourselves out over own per quite rather same
shall she should since so some such than that the their theirs them themselves then there therefore these they this those though
through thus to too toward towards under until up upon us very was we were what when where whether which while who whom whose why
will with within without would yet you your yours yourself yourselves
""")

ZH = _words("""
的 了 在 是 和 与 及 或 以 为 于 而 其 之 等 这 那 这个 那个 这些 那些 此 该 各 每 某 由 从 自 到 向 对 对于 关于 被 把 将 使 让 给
比 跟 同 并 并且 而且 且 但 但是 然而 不过 因 因为 由于 所以 因此 于是 如 如果 若 虽然 尽管 即 即使 则 就 也 都 又 还 再 才 只 仅
很 更 最 较 太 非常 已 已经 曾 曾经 正 正在 不 没 没有 未 无 非 有 可 可以 能 能够 会 要 应 应该 必须 我 你 他 她 它 我们 你们 他们
她们 它们 自己 什么 谁 哪 怎么 如何 多少 几 一 一个 一些 一种 上 下 中 里 内 外 前 后 时 时候 之后 之前 其中 其他 以及 以上 以下
以后 以前 所 着 过 地 得 们 吗 呢 吧 啊 至 至于 按 按照 根据 通过 随着 作为 例如 比如 不同 同时 另 另外 只有 只是 还是 或者 甚至
""")

STOPWORDS = {"en": EN, "zh": ZH}
