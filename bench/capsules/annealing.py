"""Does annealing find lower energies than k-means++?

    python bench/capsules/annealing.py

scikit-learn's digits (k = 10) and iris (k = 3), 16 blobs in 2 and 25 in 10 dimensions; ten seeds of k-means++, five of
anneal="critical", hard and at the automatic temperature. Energies of the rows that were fitted (they are what is minimised), and
seconds a fit.
"""

from __future__ import annotations

import math
import time
import warnings

import numpy as np
from sklearn.datasets import load_digits, load_iris, make_blobs

from thalweg.capsules import SoftKMeans

DATA = {
    "digits": (load_digits().data, 10),
    "iris": (load_iris().data, 3),
    "16 blobs, 2 d": (make_blobs(2000, centers=16, n_features=2, random_state=3)[0], 16),
    "25 blobs, 10 d": (make_blobs(3000, centers=25, n_features=10, random_state=1, cluster_std=3)[0], 25),
}


def main() -> None:
    warnings.simplefilter("ignore")
    print("| data | b | k-means++: least | median | most | s | annealed: least | median | most | s |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for name, (x, k) in DATA.items():
        for beta in ("auto", math.inf):
            cells = []
            for how, seeds in ((None, 10), ("critical", 5)):
                began = time.perf_counter()
                found = [
                    SoftKMeans(k, inverse_temperature=beta, anneal=how, random_state=s).fit(x).free_energy_ for s in range(seeds)
                ]
                taken = (time.perf_counter() - began) / seeds
                cells += [f"{value:.6g}" for value in (min(found), np.median(found), max(found))] + [f"{taken:.2f}"]
            print(f"| {name} | {beta} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
