from datetime import date
from typing import Any

import pytest

from tests.cast import CREDIT, T0
from tokenroll.model.offer import Offer, OfferState, Package


def make_offer(**changes) -> Offer:
    facts: dict[str, Any] = {
        "id": 1, "public_id": "offer", "candidate": "Ada", "plan_id": 1, "amount_nanos": 40 * CREDIT, "offered_at": T0,
        "lapses_on": date(2024, 2, 1),
    }  # fmt: skip
    return Offer(**facts | changes)


BEFORE, AFTER = date(2024, 1, 31), date(2024, 2, 1)


@pytest.mark.parametrize(
    ("changes", "before", "after"),
    [
        ({}, OfferState.OFFERED, OfferState.LAPSED),
        ({"accepted_at": T0}, OfferState.ACCEPTED, OfferState.ACCEPTED),
        ({"declined_at": T0}, OfferState.DECLINED, OfferState.DECLINED),
        ({"withdrawn_at": T0}, OfferState.WITHDRAWN, OfferState.WITHDRAWN),
        ({"accepted_at": T0, "withdrawn_at": T0}, OfferState.WITHDRAWN, OfferState.WITHDRAWN),
        ({"accepted_at": T0, "grant_id": 7}, OfferState.GRANTED, OfferState.GRANTED),
    ],
)
def test_its_state_is_read_from_dates(changes, before, after):
    offer = make_offer(**changes)
    assert (offer.state_on(BEFORE), offer.state_on(AFTER)) == (before, after)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"id": 0}, "offer id"),
        ({"candidate": ""}, "candidate must be"),
        ({"amount_nanos": 0}, "an offer of nothing"),
        ({"declined_at": T0, "accepted_at": T0}, "neither accepted nor withdrawn"),
        ({"grant_id": 7}, "only an accepted offer becomes a grant"),
        ({"grant_id": 7, "accepted_at": T0, "withdrawn_at": T0}, "only an accepted offer becomes a grant"),
    ],
)
def test_it_is_valid_at_birth(changes, words):
    with pytest.raises(ValueError, match=words):
        make_offer(**changes)


def test_a_package_has_a_currency_and_amounts():
    for wrong in ("eur", "EURO", "€"):
        with pytest.raises(ValueError, match="three capital letters such as EUR"):
            Package(currency=wrong)
    with pytest.raises(ValueError, match="the base pay of a package"):
        Package(currency="EUR", base_pay_cost_nanos=-1)
