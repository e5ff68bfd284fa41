"""Is the noise scale right, and do its intervals hold?

Question: on the linear regression whose answer is known, y = w.x + noise of 1 in 20 dimensions from a point at distance 1, where
B_simple = d (1 + 1) + 1 = 41: the mean of 20 seeds, and of 200 seeds how many 95% intervals cover it, for several batches.
Target: within 10%; at least 85%.
Command: python bench/optim/noise.py          (seconds)
"""

from __future__ import annotations

import numpy as np

from thalweg.optim.diagnosis import noise_scale

D, SIGMA, SEEDS = 20, 1.0, 200


def gradients(seed: int, batch: int, batches: int) -> np.ndarray:
    """Of the mean of half the squared error, at distance 1 from w.   (batches, D)"""
    rng = np.random.default_rng(seed)
    off = rng.standard_normal(D)
    off /= np.linalg.norm(off)
    x = rng.standard_normal((batches, batch, D))
    error = x @ off - SIGMA * rng.standard_normal((batches, batch))
    return np.einsum("kbd,kb->kd", x, error) / batch


if __name__ == "__main__":
    truth = D * (1 + SIGMA**2) + 1
    print(
        "| batch | batches | mean of 20 seeds / 41 | intervals that cover 41 | no number given |\n| --- | --- | --- | --- | --- |"
    )
    for batch, batches in ((8, 16), (8, 64), (16, 32), (32, 16), (32, 64)):
        found = []
        for seed in range(SEEDS):
            g = gradients(seed, batch, batches)
            mean = g.mean(0)
            found.append(noise_scale((g**2).sum(1), g @ mean, float(mean @ mean), batch))
        finite = [each.value for each in found[:20] if np.isfinite(each.value)]
        covered = np.mean([each.low <= truth <= each.high for each in found])
        missing = np.mean([not np.isfinite(each.value) for each in found])
        print(f"| {batch} | {batches} | {np.mean(finite) / truth:.3f} | {covered:.0%} | {missing:.0%} |")
