"""Sharing: one amount taken apart in whole nanos, so that the parts are the amount again."""

from collections.abc import Sequence


def shared_out(nanos: int, weights: Sequence[int]) -> list[int]:
    """`nanos` in proportion to the weights, each part rounded down and the rest added to the first of the largest.

    Without any weight no part has anything: whoever sums parts must know that such an amount has none.
    """
    total = sum(weights)
    if total == 0:
        return [0] * len(weights)
    parts = [nanos * weight // total for weight in weights]
    parts[weights.index(max(weights))] += nanos - sum(parts)
    return parts
