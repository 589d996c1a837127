from tokenroll.web.me import bar
from tokenroll.web.showing import day, decimals_of, exact, grouped, machine_time, moment, rounded_down

NOON = 1_770_724_800_000_000  # 2026-02-10T12:00:00Z


def test_it_writes_every_decimal_with_thin_spaces():
    assert exact(1_234_567_500_000_000) == "1\u202f234\u202f567.50"
    assert exact(-1) == "−0.000000001"
    assert exact(None) == "–"
    assert exact(10**9, 4) == "1.0000"
    assert grouped(999) == "999"


def test_it_gives_a_column_its_decimals():
    assert decimals_of([10**9, 1_500_000, None]) == 4
    assert decimals_of([]) == 2


def test_it_rounds_the_large_number_down():
    assert rounded_down(99_999_999_999) == ("99", "9999")
    assert rounded_down(0) == ("0", "0000")


def test_it_shows_times_where_the_reader_is():
    assert moment(NOON, "America/New_York") == "2026-02-10 07:00:00"
    assert day(NOON, "Asia/Tokyo") == "10 February 2026"
    assert (moment(None, "UTC"), day(None, "UTC")) == ("–", "–")
    assert machine_time(NOON) == "2026-02-10T12:00:00Z"


def amounts(**nanos):
    return {f"{name}_nanos": nanos.get(name, 0) for name in ("spent", "expired", "in_use", "being_checked", "left")}


def test_it_draws_parts_of_what_was_ever_spendable():
    drawn = bar(amounts(spent=200, expired=50, in_use=100, being_checked=50, left=600))
    assert drawn == {"spent": (0, 250), "used": (250, 100), "checked": (350, 50), "rest": (400, 600)}


def test_it_shows_a_tiny_part_and_fills_the_bar():
    drawn = bar(amounts(in_use=1, left=10**12))
    assert drawn == {"spent": (0, 0), "used": (0, 3), "checked": (3, 0), "rest": (3, 997)}
    assert bar(amounts()) == {"spent": (0, 0), "used": (0, 0), "checked": (0, 0), "rest": (0, 0)}
    assert bar(amounts(spent=7))["spent"] == (0, 1000)
