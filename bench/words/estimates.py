"""How far is the inner product from the counted mutual information?

Question: over the pairs that met, weighted as in the energy: mean and root mean square error of <u_i, k_j> in nats, and R^2, with
the default pull of all pairs towards -1 (rho 1) and without it (rho 0).
Peers: none; a fact about the model that the README states. Data: `docs:`, the docstrings of the installed packages.
Command: python bench/words/estimates.py          (about 20 seconds)
"""

from pathlib import Path

from thalweg import words
from thalweg.words.judging import goodness
from thalweg.words.solving import objective


def main() -> None:
    counts = words.count(words.read(Path("docs:")))
    print("| rho | mean error | rms error | R² |\n| --- | --- | --- | --- |")
    for rho in (1.0, 0.0):
        settings = objective.Settings(rho=rho)
        table = objective.table(counts, settings)
        wv = words.solve(counts, settings)
        fit = goodness.of_table(table, goodness.predictions(table, wv))
        print(f"| {rho:g} | {fit.mean_error:+.2f} | {fit.rms_error:.2f} | {fit.r2:.2f} |")


if __name__ == "__main__":
    main()
