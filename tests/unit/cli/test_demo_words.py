from tokenroll.cli.demo.show import lasts


def test_it_tells_ada_no_number_of_days_that_nobody_can_know():
    told = [lasts({"usual_work": {"days": days}}) for days in (None, 1, 12, 48_000)]
    assert told == [
        "no usual work yet",
        "≈ 1 day of her usual work",
        "≈ 12 days of her usual work",
        "more than a year of her usual work",
    ]
