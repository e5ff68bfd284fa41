"""What a picture of words is drawn from: places, groups and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]
NAMES = {"pca": "PCA", "tsne": "t-SNE", "umap": "UMAP"}


@dataclass(frozen=True, eq=False)
class Plane:
    """Words in the plane, as numbers.

    words: by rank, the first are named first; xy (n, 2) float64; cluster (n,) int64, group 0 the largest; method: "pca", "tsne" or
    "umap"; asked: the first so many were asked for by name, the others are their neighbours; shares: the part of the variance
    that each axis holds, for "pca".
    """

    words: list[str]
    xy: Doubles
    cluster: npt.NDArray[np.int64]
    method: str
    asked: int = 0
    shares: tuple[float, float] | None = None

    def __len__(self) -> int:
        return len(self.words)

    @property
    def n_clusters(self) -> int:
        return int(self.cluster.max()) + 1 if len(self) else 0

    def groups(self) -> list[list[str]]:
        """The words of each cluster, by rank."""
        return [[self.words[j] for j in np.flatnonzero(self.cluster == group)] for group in range(self.n_clusters)]

    def to_dict(self) -> dict[str, Any]:
        """What JSON holds: the method and, for each word, x, y and cluster."""
        points = [
            {"word": word, "x": float(x), "y": float(y), "cluster": int(group)}
            for word, (x, y), group in zip(self.words, self.xy, self.cluster, strict=True)
        ]
        return {"method": self.method, "asked": self.asked, "shares": self.shares, "words": points}
