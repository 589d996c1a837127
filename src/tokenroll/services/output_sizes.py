"""How long a key's answers from a model are, so that its client can be told which output cap would do (docs/thrift.md).

Counters alone, in steps of a quarter of a doubling, in memory and in bounded number. Nothing is ever cut by it: a cap that is told is the client's to take.
"""

from typing import Final

from tokenroll.model.limits import CAP_HINT_CALLS_MAX, CAP_HINT_CALLS_MIN, CAP_HINTS_REMEMBERED_MAX

_STEPS: Final = 4
"""Buckets for each doubling: a hint is at most a quarter of a doubling above what it stands for."""
_BUCKETS: Final = 24 * _STEPS
_ONE_IN: Final = 100
"""A hint is what all but one answer in so many stay within."""


def bucket_of(tokens: int) -> int:
    """Which bucket a length falls into."""
    if tokens < _STEPS:
        return max(0, tokens)
    power = tokens.bit_length() - 1
    return min((power - 1) * _STEPS + (tokens >> (power - 2)) - _STEPS, _BUCKETS - 1)


def longest_of(bucket: int) -> int:
    """The longest length that falls into a bucket."""
    if bucket < _STEPS:
        return bucket
    power, step = bucket // _STEPS + 1, bucket % _STEPS
    return ((_STEPS + step + 1) << (power - 2)) - 1


class Lengths:
    """Lengths of answers. One that its cap cut is longer than anybody knows."""

    __slots__ = ("_counts", "_cut_count", "_top", "_total")

    def __init__(self) -> None:
        self._counts = [0] * _BUCKETS
        self._cut_count = 0
        self._total = 0
        self._top = 0
        """No bucket above this one has counted any."""

    def add(self, tokens: int, cap_tokens: int) -> None:
        """One answer more, made under that cap."""
        if tokens >= cap_tokens:
            self._cut_count += 1
        else:
            bucket = bucket_of(tokens)
            self._counts[bucket] += 1
            self._top = max(self._top, bucket)
        self._total += 1
        if self._total > CAP_HINT_CALLS_MAX:  # the old ones weigh less and less
            self._counts = [count // 2 for count in self._counts]
            self._cut_count //= 2
            self._total = sum(self._counts) + self._cut_count

    def hint_tokens(self) -> int:
        """The cap that all but one answer in a hundred stay within; 0 where too few were seen, or too many were cut to say."""
        if self._total < CAP_HINT_CALLS_MIN:
            return 0
        above = self._cut_count
        counts = self._counts
        for bucket in range(self._top, -1, -1):
            above += counts[bucket]
            if above * _ONE_IN > self._total:
                # an answer as long as its cap counts as cut, so the cap is one more
                return 0 if self._cut_count * _ONE_IN > self._total else longest_of(bucket) + 1
        return 0


class OutputSizes:
    """Lengths by key and model."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[tuple[int, str], Lengths] = {}

    def of(self, key_id: int, model: str) -> Lengths:
        """The lengths of a key's answers from a model; those asked for longest ago make room."""
        known = self._known
        name = (key_id, model)
        lengths = known.pop(name, None)
        if lengths is None:
            if len(known) >= CAP_HINTS_REMEMBERED_MAX:
                del known[next(iter(known))]
            lengths = Lengths()
        known[name] = lengths
        return lengths
