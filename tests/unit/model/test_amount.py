import pytest

from tokenroll.model.amount import AmountError, amount_nanos_checked, nanos_from_text, text_from_nanos


@pytest.mark.parametrize(
    ("text", "nanos"),
    [
        ("12.5", 12_500_000_000),
        ("0.000000001", 1),
        ("-0.000000001", -1),
        (" 7 ", 7_000_000_000),
        ("0", 0),
    ],
)
def test_it_reads_decimals_exactly(text, nanos):
    assert nanos_from_text(text) == nanos


@pytest.mark.parametrize("text", ["", "1.0000000001", "1e3", "12,5", "+1", ".5", "1.", "1_000", "٣", "nan", "1" * 19])
def test_it_asks_again_rather_than_round_somebodys_pay(text):
    with pytest.raises(AmountError, match="is not a decimal amount"):
        nanos_from_text(text)


@pytest.mark.parametrize(
    ("nanos", "decimals_min", "text"),
    [
        (12_500_000_000, 9, "12.500000000"),
        (12_500_000_000, 2, "12.50"),
        (12_500_000_001, 2, "12.500000001"),
        (-1, 9, "-0.000000001"),
        (7_000_000_000, 0, "7"),
    ],
)
def test_it_writes_every_digit_that_counts(nanos, decimals_min, text):
    assert text_from_nanos(nanos, decimals_min) == text


def test_it_fits_a_row_up_to_a_billion_credits():
    assert amount_nanos_checked(1_000_000_000_000_000_000, "bonus") == 1_000_000_000_000_000_000


@pytest.mark.parametrize("nanos", [-1, 1_000_000_000_000_000_001])
def test_it_refuses_what_a_row_cannot_hold(nanos):
    with pytest.raises(AmountError, match=r"Ada's bonus is .* credits; it must lie between 0 and 1000000000 credits"):
        amount_nanos_checked(nanos, "Ada's bonus")


@pytest.mark.parametrize("value", [1.0, True, "1"])
def test_it_is_an_integer_and_nothing_else(value):
    with pytest.raises(AmountError, match="must be an integer"):
        amount_nanos_checked(value, "bonus")
