"""What comes again is learnt from what was seen, and marking is chosen only where it would have paid."""

from fractions import Fraction

import pytest

from tests.cast import T0
from tokenroll.services.reuse import PromptReuse, Ratio, Tally, Writing

SONNET = Ratio(2_000, 100, 2_500)
"""Writing costs a quarter more, reading a twentieth: it pays above (500 / (500 + 1,900)), which is 20.8 %."""
USUAL = Ratio(3_000, 300, 3_750)
"""The usual 1.25 and 0.1: above 21.7 %."""
FREE = Ratio(150, 75, 150)
MINUTE = 60_000_000


def tally(first, second, again):
    made = Tally()
    made.add(first, second, again)
    return made


@pytest.mark.parametrize(
    ("ratio", "first", "second", "writing"),
    [
        (
            USUAL,
            7_826,
            2_174,
            Writing.ALL,
        ),  # 21.74 % come again: 2,174 × 2,700 = 5,869,800 saved, 7,826 × 750 = 5,869,500 lost
        (USUAL, 7_830, 2_170, Writing.NOTHING),  # 21.70 %: 5,859,000 saved, 5,872,500 lost
        (SONNET, 7_916, 2_084, Writing.ALL),  # 20.84 %: 3,959,600 saved, 3,958,000 lost
        (SONNET, 7_917, 2_083, Writing.NOTHING),  # 20.83 %: 3,957,700 saved, 3,958,500 lost
        (FREE, 10_000, 1, Writing.ALL),  # where writing costs nothing, anything that comes again pays
        (FREE, 10_000, 0, Writing.NOTHING),
        (Ratio(150, 150, 150), 0, 10_000, Writing.NOTHING),  # and where reading saves nothing, nothing does
    ],
)
def test_all_is_written_exactly_above_the_break_even_of_the_card(ratio, first, second, writing):
    lost = ratio.write - ratio.plain
    gained = ratio.plain - ratio.read
    above = gained > 0 and Fraction(second, first + second) > Fraction(lost, lost + gained)
    assert (writing == Writing.ALL) == above
    assert tally(first, second, 0).writing(ratio) == writing


def test_what_comes_a_third_time_is_written_the_second_time_where_that_saves_more():
    # nine calls with one beginning of 10,000 bytes and 20,000 new ones each: saved 90 × 2,700 and lost 210 × 750, or 80 × 2,700 and 10 × 750
    assert tally(210_000, 10_000, 80_000).writing(USUAL) == Writing.SEEN
    assert tally(30_000, 10_000, 80_000).writing(USUAL) == Writing.ALL
    assert tally(210_000, 30_000, 1_000).writing(USUAL) == Writing.NOTHING


def look(reuse, *names, kind=b"kind", at=T0, size=10_000):
    return reuse.look([kind], [name.encode() for name in names], [size] * len(names), at)


def test_it_knows_the_longest_beginning_that_came_before_within_five_minutes():
    reuse = PromptReuse()
    assert look(reuse, "a", "ab").seen == -1
    assert look(reuse, "a", "ax").seen == 0
    assert look(reuse, "a", "ab", "abc", at=T0 + 4 * MINUTE).seen == 1
    # "ab" was seen again a moment ago, "ax" five minutes before
    assert look(reuse, "a", "ax", at=T0 + 5 * MINUTE).seen == 0
    assert look(reuse, "a", "ab", at=T0 + 9 * MINUTE - 1).seen == 1
    assert look(reuse, "a", "ab", at=T0 + 14 * MINUTE - 1).seen == -1


def test_it_counts_bytes_by_how_often_they_came_before():
    reuse = PromptReuse()
    for expected in ((20, 0, 0), (20, 20, 0), (20, 20, 20)):
        counted = look(reuse, "a", "ab", size=10_000).tally
        assert (counted.first, counted.second, counted.again) == tuple(1_000 * one for one in expected)


def test_what_is_written_is_known_to_be_kept_and_each_read_renews_it():
    reuse = PromptReuse()
    look(reuse, "a", "ab")
    reuse.written(b"ab", T0)
    assert look(reuse, "a", "ab", "abc", at=T0 + 4 * MINUTE).cached == 1
    assert look(reuse, "a", "ab", at=T0 + 9 * MINUTE - 1).cached == 1
    assert look(reuse, "a", "ab", at=T0 + 14 * MINUTE - 1).cached == -1


def test_the_narrowest_kind_of_which_enough_was_seen_is_believed():
    reuse = PromptReuse()
    reuse.look([b"ada's"], [b"x"], [20_000], T0)
    found = reuse.look([b"new app", b"ada's"], [b"y"], [1_000], T0)
    assert found.tally.first == 21_000
    found = reuse.look([b"new app", b"ada's"], [b"z"], [16_000], T0)
    assert found.tally.first == 17_000


def test_the_past_weighs_less_and_less():
    counted = Tally()
    for _ in range(100):
        counted.add(1_000_000, 0, 0)
    assert counted.first < 20_000_000
    for _ in range(30):
        counted.add(0, 0, 1_000_000)
    assert counted.writing(USUAL) == Writing.SEEN


def test_it_remembers_only_so_much(monkeypatch):
    monkeypatch.setattr("tokenroll.services.reuse.BEGINNINGS_REMEMBERED_MAX", 2)
    monkeypatch.setattr("tokenroll.services.reuse.PROMPT_KINDS_REMEMBERED_MAX", 1)
    reuse = PromptReuse()
    look(reuse, "a", "b", kind=b"one")
    look(reuse, "b", kind=b"two")
    look(reuse, "c", kind=b"two")
    assert look(reuse, "b", kind=b"two").seen == 0
    assert look(reuse, "a", kind=b"one", size=20_000).tally.first == 20_000
