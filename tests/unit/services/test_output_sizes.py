"""Which output cap would do, from how long a key's answers from a model were."""

import pytest

from tokenroll.services.output_sizes import Lengths, OutputSizes, bucket_of, longest_of


def seen(*lengths, cap=64_000):
    made = Lengths()
    for length in lengths:
        made.add(length, cap)
    return made


@pytest.mark.parametrize(
    ("tokens", "longest"),
    [
        (0, 0),
        (3, 3),
        (4, 4),
        (7, 7),
        (8, 9),
        (9, 9),
        (10, 11),
        (15, 15),
        (16, 19),
        (100, 111),
        (1_000, 1_023),
        (5_000, 5_119),
    ],
)
def test_a_length_falls_into_a_quarter_of_a_doubling(tokens, longest):
    assert longest_of(bucket_of(tokens)) == longest


def test_buckets_follow_one_another_without_a_gap():
    for tokens in range(1, 70_000):
        step = bucket_of(tokens) - bucket_of(tokens - 1)
        assert step in {0, 1}
        if step:
            assert longest_of(bucket_of(tokens - 1)) == tokens - 1


def test_a_hint_is_what_all_but_one_answer_in_a_hundred_stay_within():
    assert seen(*[100] * 198, 5_000, 5_000).hint_tokens() == 112
    assert seen(*[100] * 197, *[5_000] * 3).hint_tokens() == 5_120


def test_of_few_answers_nothing_is_said():
    assert seen(*[100] * 99).hint_tokens() == 0
    assert seen(*[100] * 100).hint_tokens() == 112


def test_answers_that_their_cap_cut_are_longer_than_anybody_knows():
    """A client that follows a hint must not be led to ever shorter ones."""
    lengths = seen(*[100] * 199)
    lengths.add(112, 112)
    lengths.add(112, 112)
    assert lengths.hint_tokens() == 112
    lengths.add(112, 112)
    assert lengths.hint_tokens() == 0


def test_the_past_weighs_less_and_less():
    lengths = seen(*[5_000] * 4_000)
    for _ in range(100_000):
        lengths.add(100, 64_000)
    assert lengths.hint_tokens() == 112


def test_each_key_and_model_has_its_own_and_only_so_many_are_kept(monkeypatch):
    monkeypatch.setattr("tokenroll.services.output_sizes.CAP_HINTS_REMEMBERED_MAX", 2)
    sizes = OutputSizes()
    mine = sizes.of(1, "sonnet")
    assert sizes.of(1, "sonnet") is mine
    sizes.of(2, "sonnet")
    assert sizes.of(1, "sonnet") is mine
    sizes.of(1, "haiku")
    assert sizes.of(2, "sonnet") is not mine
    sizes.of(3, "haiku")
    assert sizes.of(1, "sonnet") is not mine
