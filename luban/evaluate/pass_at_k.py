"""pass@k: how likely one of k programs that a model writes for a problem is right.

Source: arXiv:2107.03374 section 2.1, equation 1.
"""

from __future__ import annotations

from collections.abc import Sequence

from luban.errors import ConfigError


def pass_at_k(n: int, n_right: int, k: int) -> float:
    """Return the unbiased estimate from `n` samples of which `n_right` are right.

    That is 1 - C(n - n_right, k) / C(n, k), the chance that k samples drawn of the n hold a right one,
    as a product whose factors are all from 0 to 1.
    """
    if not 0 <= n_right <= n or not 1 <= k <= n:
        raise ConfigError(
            f"pass@{k} cannot be told from {n} samples of which {n_right} are right",
            fix="draw at least k samples of each problem",
        )
    if n - n_right < k:  # every draw holds a right one
        return 1.0
    none_right = 1.0
    for i in range(n - n_right + 1, n + 1):
        none_right *= 1 - k / i
    return 1 - none_right


def scores_of_problem(right: Sequence[bool], ks: Sequence[int]) -> dict[str, float]:
    """Return {"pass@1": ..., ...} of one problem from the verdicts on its samples."""
    return {f"pass@{k}": pass_at_k(len(right), sum(right), k) for k in ks}
