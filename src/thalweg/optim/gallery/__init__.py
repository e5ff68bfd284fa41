"""Pages of the gallery. What a page's script computes has a twin in Python, and a test that compares both."""

from __future__ import annotations

from thalweg.page import GalleryEntry

PAGES = {
    "optim-momentum": GalleryEntry(
        "thalweg.optim.gallery.momentum:page",
        {"en": "From gradient descent to momentum", "zh": "从梯度下降到动量"},
        {
            "en": "Flow and steps, barriers, the temperature of a batch, one dial for rate and momentum, Nesterov, stability.",
            "zh": "梯度流与步、势垒、批的温度、学习率与动量的同一个旋钮、Nesterov、稳定性。",
        },
        essay="https://kexue.fm/archives/5655",
        names=("thalweg.descend", "thalweg.optim.dynamics"),
    ),
    "optim-custom": GalleryEntry(
        "thalweg.optim.gallery.custom:page",
        {"en": "An optimizer of your own", "zh": "自己写一个优化器"},
        {
            "en": "A rule and what it compiles to; race it; soft batches, Heun's method, gradients by hand.",
            "zh": "一个规则和它编译成的程序；让它参加竞赛；软 batch、Heun 方法、手写梯度。",
        },
        essay="https://kexue.fm/archives/6794",
        names=("thalweg.optim.Rule", "thalweg.optim.torch"),
    ),
    "optim-adaptive": GalleryEntry(
        "thalweg.optim.gallery.adaptive:page",
        {"en": "Adaptive rates as error control", "zh": "自适应学习率就是误差控制"},
        {
            "en": "A gauge for Euler's error; one rate or one for each coordinate; what never stops, and what stops too early.",
            "zh": "欧拉法误差的量表；共用一个学习率还是每个坐标一个；什么停不下来，什么停得太早。",
        },
        essay="https://kexue.fm/archives/5655",
        names=("thalweg.descend", "thalweg.optim"),
    ),
}
