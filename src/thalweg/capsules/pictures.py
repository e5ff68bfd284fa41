"""Clusters in two dimensions: the first two principal components, a colour for each cluster, pale where a row is shared."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from thalweg import style

SHOWN = 3000  # rows of the picture, evenly spread


def clusters(x: npt.NDArray[Any], labels: npt.NDArray[Any], couplings: npt.NDArray[Any], centers: npt.NDArray[Any]) -> str:
    """An SVG of rows (n, d) and centres (k, d).   labels: (n,); couplings: (n, k)"""
    chosen = np.linspace(0, len(x) - 1, min(len(x), SHOWN)).round().astype(int)
    rows, mean = x[chosen].astype(float), x.mean(axis=0, dtype=float)
    _, sizes, axes = np.linalg.svd(rows - mean, full_matrices=False)
    axes = np.concatenate([axes, np.zeros((max(0, 2 - len(axes)), x.shape[1]))])[:2]
    at, middle = (rows - mean) @ axes.T, (centers - mean) @ axes.T
    total = float((sizes**2).sum())
    share = 100 * float((sizes[:2] ** 2).sum()) / total if total else 100.0
    fig, ax = style.figure(height=3.8)
    sure = couplings[chosen].max(axis=1)
    k = len(centers)
    with style.style():
        for j in range(k):
            mine = labels[chosen] == j
            colour = style.CYCLE[j % len(style.CYCLE)]
            alpha = np.clip((sure[mine] - 1 / k) / (1 - 1 / k) if k > 1 else np.ones(mine.sum()), 0.1, 0.8)
            ax.scatter(
                at[mine, 0],
                at[mine, 1],
                s=7,
                color=colour,
                alpha=alpha,  # type: ignore[arg-type]  # one for each point
                linewidths=0,
            )
        ax.scatter(middle[:, 0], middle[:, 1], s=60, marker="X", color="white", edgecolor="black", linewidths=1.2, zorder=3)
        ax.set(xlabel="first component", ylabel="second component")
        ax.set_title(f"{k} clusters; two components hold {share:.0f}% of the variance", loc="left")
    alt = f"Rows in the plane of their first two principal components, coloured by {k} clusters, with their centres as crosses."
    return style.svg(fig, alt, salt="clusters")
