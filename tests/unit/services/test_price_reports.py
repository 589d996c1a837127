import pytest

from tests.firm import JANUARY, Firm
from tokenroll.services.price_reports import per_million_nanos
from tokenroll.services.refusal import Refused


@pytest.fixture(scope="module")
def firm():
    one = Firm(JANUARY)
    one.do("ratecard.import", providers=["openai"], models=["gpt-4o-mini"])
    return one


def test_it_lists_what_holds_now_per_million(firm):
    (card,) = firm.reports.rate_cards()
    assert (card["provider"], card["model"]) == ("openai", "gpt-4o-mini")
    assert (card["input_per_million_nanos"], card["output_per_million_nanos"]) == (150_000_000, 600_000_000)
    assert card["digest"].startswith(card["digest_short"])


def test_it_shows_every_rate_of_a_card_by_name_or_id(firm):
    found = firm.reports.rate_card("gpt-4o-mini")
    assert firm.reports.rate_card(found["ratecard"]) == firm.reports.rate_card("openai/gpt-4o-mini") == found
    shown = [(one["per_million"], one["attos_per_unit"]) for one in found["rates"]
             if (one["price"], one["tier"], one["meter"]) == ("internal", "standard", "input")]  # fmt: skip
    assert shown == [("0.15", 150_000_000_000)]


def test_it_says_that_a_model_without_a_card_is_refused(firm):
    with pytest.raises(Refused, match="there is no rate card for 'gpt-9', so calls for it are refused"):
        firm.reports.rate_card("gpt-9")


def test_it_shows_a_surcharge_from_its_date_on(firm):
    firm.do("ratecard.set", model="gpt-4o-mini", multiply="2")
    assert firm.reports.rate_cards()[0]["input_per_million_nanos"] == 300_000_000


def test_it_rounds_down_for_people():
    assert per_million_nanos(1_999) == 1
    assert per_million_nanos(150_000_000_000) == 150_000_000


def test_it_says_what_a_million_trained_tokens_cost(firm):
    firm.do("ratecard.set", model="gpt-4o-mini", prices={"training": "3"})
    assert firm.reports.rate_cards()[0]["units"] == "3.00 per million model tokens trained"
