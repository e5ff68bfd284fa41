"""The balanced gauge: of all pairs (U A, K A^-T), which have the same products, the one whose two sides have equal second moments.

Norms and cosines of word vectors alone are not determined by the energy, which sees only U K^T. Balanced, with columns in the order
of the singular values S of U K^T and signs fixed, they are: U^T U = K^T K = S, and the leading columns are the best product of
their rank (Eckart and Young 1936). With another share `theta` of the spectrum for the words (Levy, Goldberg and Dagan 2015, section
3.3): U^T U = S^(2 theta), K^T K = S^(2 - 2 theta).
"""

from __future__ import annotations

import numpy as np

from thalweg.threads import one_blas_thread
from thalweg.words.solving.objective import Doubles, Floats


def balance(word: Floats, context: Floats, theta: float = 0.5) -> tuple[Floats, Floats, Doubles]:
    """(U, K) in the balanced gauge, and the spectrum S.   two (n_words, dim), (dim,)

    theta: the power of S that the words get, from 0 to 1; the contexts get the rest.
    """
    n_words, dim = word.shape
    with one_blas_thread():  # the same bits whatever the number of threads
        q_word, r_word = np.linalg.qr(word.astype(np.float64))
        q_context, r_context = np.linalg.qr(context.astype(np.float64))
        left, spectrum, right = np.linalg.svd(r_word @ r_context.T)
        word64 = q_word @ (left * _power(spectrum, theta))
        del q_word
        context64 = q_context @ (right.T * _power(spectrum, 1 - theta))
        del q_context
    largest = np.argmax(np.abs(word64), axis=0)
    signs = np.where(word64[largest, np.arange(word64.shape[1])] < 0, -1.0, 1.0)
    balanced = np.zeros((2, n_words, dim), np.float32)
    balanced[0, :, : len(spectrum)] = word64 * signs
    balanced[1, :, : len(spectrum)] = context64 * signs
    full = np.zeros(dim)
    full[: len(spectrum)] = spectrum
    return balanced[0], balanced[1], full


def _power(spectrum: Doubles, exponent: float) -> Doubles:
    """Its power; 0 stays 0, also to the power of 0."""
    return np.asarray(np.where(spectrum > 0, spectrum**exponent, 0.0))
