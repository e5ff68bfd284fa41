"""How far is the inner product from the counted mutual information?

Question: over the pairs that met, weighted as in the energy: mean and root mean square error of <u_i, k_j> in nats, and R^2, with
the default pull of all pairs towards -1 (rho 1) and without it (rho 0).
Peers: none; a fact about the model that the README states. Data: `docs:`, the docstrings of the installed packages.
Command: python bench/words/estimates.py          (about 20 seconds)
"""

from pathlib import Path

import numpy as np

from thalweg import words
from thalweg.words import als, objective, svd


def main() -> None:
    counts = words.count(words.read(Path("docs:")))
    print("| rho | mean error | rms error | R² |\n| --- | --- | --- | --- |")
    for rho in (1.0, 0.0):
        settings = objective.Settings(rho=rho)
        table = objective.table(counts, settings)
        word, context, _ = als.descend(table, *svd.start(table, 128), settings)
        rows = np.repeat(np.arange(len(word)), np.diff(table.indptr))
        error = np.einsum("nd,nd->n", word[rows], context[table.columns]) - table.targets
        mean = np.average(table.targets, weights=table.weights)
        square, spread = (np.average(x**2, weights=table.weights) for x in (error, table.targets - mean))
        print(f"| {rho:g} | {np.average(error, weights=table.weights):+.2f} | {square**0.5:.2f} | {1 - square / spread:.2f} |")


if __name__ == "__main__":
    main()
