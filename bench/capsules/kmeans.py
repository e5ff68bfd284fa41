"""How long does a round of K-Means and of its soft form take, beside the peers?

    python bench/capsules/kmeans.py [rounds] [threads]

Peers: scikit-learn's KMeans (lloyd) and GaussianMixture (spherical), faiss-cpu's Kmeans where it is installed. Data: 100,000 rows
of 64 numbers around 100 centres, float32; all from the same start and for the same number of rounds. A round is the difference of
fits of 11 rounds and of 1, by 10, so that reading in and the final assignment do not count. Candidates alternate; medians and
quartiles of the ratios. A last row measures the soft pass where most couplings are below 1e-38 (denormals).
"""

from __future__ import annotations

import math
import sys
import time
import warnings
from collections.abc import Callable

import numpy as np
from sklearn.cluster import KMeans
from sklearn.mixture import GaussianMixture
from threadpoolctl import threadpool_limits

from thalweg.capsules import SoftKMeans

N, D, K = 100_000, 64, 100
FEW, MANY = 1, 11


def data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    centers = 1.5 * rng.normal(size=(K, D))
    x = (centers[rng.integers(K, size=N)] + rng.normal(size=(N, D))).astype(np.float32)
    return x, x[:K]


def main() -> None:
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    threads = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    x, start = data()

    def ours(beta: float) -> Callable[[int], object]:
        return lambda n: SoftKMeans(K, inverse_temperature=beta, init=start, max_iter=n, tol=0, n_jobs=threads).fit(x)

    def mixture(n: int) -> object:
        return GaussianMixture(
            K,
            covariance_type="spherical",
            means_init=start,
            weights_init=np.full(K, 1 / K),
            precisions_init=np.ones(K),
            max_iter=n,
            tol=0,
        ).fit(x)

    contenders: dict[str, Callable[[int], object]] = {
        "SoftKMeans hard": ours(math.inf),
        "SoftKMeans soft (b = 0.5)": ours(0.5),
        "scikit-learn KMeans lloyd": lambda n: KMeans(K, init=start, n_init=1, max_iter=n, tol=0).fit(x),
        "SoftKMeans soft, denormal (b = 20)": ours(20.0),
    }
    try:
        import faiss

        faiss.omp_set_num_threads(threads)

        def in_faiss(n: int) -> object:
            found = faiss.Kmeans(D, K, niter=n, nredo=1, max_points_per_centroid=N, seed=0)
            found.train(x, init_centroids=start)
            return found

        contenders["faiss-cpu Kmeans"] = in_faiss
    except ImportError:
        print("faiss-cpu is not installed: its row is left out")
    times: dict[str, list[float]] = {name: [] for name in [*contenders, "GaussianMixture spherical"]}
    with threadpool_limits(threads), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for run in contenders.values():
            run(FEW)
        for _ in range(repeats):
            for name, run in contenders.items():
                times[name].append(_round(run, FEW, MANY))
        for _ in range(2):
            times["GaussianMixture spherical"].append(_round(mixture, FEW, MANY))
    print(f"{N:,} x {D} float32, k = {K}, {threads} thread(s), ms a round; hard and soft: the peer's time over ours")
    print("| program | ms a round | hard, times | soft, times |\n| --- | --- | --- | --- |")
    hard, soft = times["SoftKMeans hard"], times["SoftKMeans soft (b = 0.5)"]
    for name, found in times.items():
        ratios = [_spread([a / b for a, b in zip(found, other, strict=False)]) for other in (hard, soft)]
        print(f"| {name} | {1e3 * float(np.median(found)):.1f} | {ratios[0]} | {ratios[1]} |")


def _round(run: Callable[[int], object], few: int, many: int) -> float:
    """Seconds of one round."""
    taken = []
    for n in (few, many):
        began = time.perf_counter()
        run(n)
        taken.append(time.perf_counter() - began)
    return (taken[1] - taken[0]) / (many - few)


def _spread(ratios: list[float]) -> str:
    low, middle, high = np.quantile(ratios, [0.25, 0.5, 0.75])
    return f"{middle:.2f} ({low:.2f} to {high:.2f})"


if __name__ == "__main__":
    main()
