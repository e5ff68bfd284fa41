"""From counts to vectors: the energy, its closed-form start, and the solvers that go down it."""
