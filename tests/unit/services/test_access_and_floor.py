"""What a plan gives access to, and the cheap model that stays usable when the wallet is empty."""

import json

import pytest

from tests.cast import CREDIT, POOL_WALLET, T0, make_card
from tests.desk import ADA_KEY, BOUND, CHAT, SIM, Desk, key, lot, make_facts, wallet
from tokenroll.gateway.telling import special_lines
from tokenroll.model.hold import Slice
from tokenroll.services.hot import HotHold
from tokenroll.services.hot_limits import Reroute
from tokenroll.services.protocol import Delta
from tokenroll.upstream.anthropic import Messages

HAIKU = make_card(id=2, public_id="ratecard_00000000000000000000000000000002", model="haiku")
FLOOR_POOL = 7


@pytest.mark.parametrize(
    ("access", "model", "says"),
    [
        ({}, "sonnet", ""),
        ({"models": ["sonnet"]}, "sonnet", ""),
        ({"models": ["son*", "opus"]}, "sonnet", ""),
        ({"models": ["haiku", "opus-*"]}, "sonnet", "no access to the model 'sonnet', only to haiku, opus-*."),
        ({"service_tiers": ["standard"]}, "sonnet", ""),
        ({"service_tiers": ["batch"]}, "sonnet", "no access to the service tier 'standard', only to batch."),
    ],
)
def test_a_plan_that_names_what_it_gives_access_to_gives_nothing_else(tmp_path, access, model, says):
    desk = Desk(tmp_path, wallet(lot(1, CREDIT), **access))
    answer = desk.admit(make_facts(model=model))
    if not says:
        assert isinstance(answer, HotHold)
        return
    assert answer.code == "no_access"
    assert says in answer.sentence()
    assert "More can be approved by whoever runs the gateway." in answer.sentence()
    for dialect, kind in ((CHAT, "invalid_request_error"), (Messages(), "permission_error")):
        told = dialect.denial(answer)
        assert (told.status, json.loads(told.body)["error"]["type"]) == (403, kind)
        assert b"x-should-retry: false" in told.headers


@pytest.mark.parametrize("enforcement", ["observe", "warn"])
def test_where_nothing_is_enforced_no_access_is_recorded_and_refuses_nobody(tmp_path, enforcement):
    desk = Desk(tmp_path, wallet(lot(1, CREDIT), models=["haiku"], enforcement=enforcement))
    hold = desk.admit()
    assert (hold.would_deny, hold.company_nanos) == (True, 0)
    told = (
        b"x-tokenroll-warning: the plan of this key gives no access to this call; under enforce it would be refused\r\n"
    )
    assert special_lines(hold) == (told if enforcement == "warn" else b"")


def test_access_changes_with_the_wallets_terms(tmp_path):
    desk = Desk(tmp_path, wallet(lot(1, CREDIT)))
    desk.spending.apply_delta(Delta(1, [wallet(models=["haiku"])], [], [], [], {}))
    assert desk.admit().code == "no_access"
    desk.spending.apply_delta(Delta(2, [wallet()], [], [], [], {}))
    assert isinstance(desk.admit(), HotHold)


@pytest.fixture
def ada(tmp_path):
    """Ada has nothing left; her department's pool is empty too; the floor's pool pays for haiku."""
    return Desk(
        tmp_path,
        wallet(lot(1, 1_000), floor_model="haiku", floor_pool_id=FLOOR_POOL),
        wallet(id=POOL_WALLET, name="Research"),
        wallet(lot(5, CREDIT), id=FLOOR_POOL, name="Floor"),
        cards=(make_card(), HAIKU),
        keys=(key(1, ADA_KEY, 1, pool_wallet_id=POOL_WALLET),),
    )


def served(reroute):
    reroute.deployment = SIM._replace(model=reroute.model)
    return reroute


def test_an_empty_wallet_goes_on_with_the_floors_model_paid_by_the_floors_pool(ada):
    reroute = ada.admit()
    assert isinstance(reroute, Reroute)
    assert reroute.model == "haiku"
    hold = ada.admit(deployment=served(reroute).deployment, reroute=reroute)
    assert (hold.model, hold.upstream_model, hold.bound_nanos) == ("sonnet", "haiku", BOUND)
    assert hold.slices == [Slice(1, 1_000), Slice(5, BOUND - 1_000)]
    assert hold.limited.notes == b"x-tokenroll-floor: true\r\nx-tokenroll-model: haiku\r\n"
    ada.dispatch(hold)
    assert ada.settle(hold, input=1_000, output=10, request=1) == 3_150_000
    assert ada.available(FLOOR_POOL) == CREDIT - 3_150_000 + 1_000


def test_who_asks_for_the_floors_model_is_paid_for_as_well(ada):
    reroute = ada.admit(make_facts(model="haiku"))
    assert isinstance(
        ada.admit(make_facts(model="haiku"), deployment=served(reroute).deployment, reroute=reroute), HotHold
    )


def test_where_nobody_serves_the_floors_model_or_its_pool_is_empty_the_wallets_own_denial_is_the_answer(ada):
    reroute = ada.admit()
    assert ada.admit(reroute=reroute).code == "wallet_empty"
    huge = make_facts(output_cap_tokens=60_000, input_bytes=200_000)
    reroute = served(ada.admit(huge))
    denial = ada.admit(huge, deployment=reroute.deployment, reroute=reroute)
    assert denial.code == "wallet_empty"
    assert "with its pool Floor" in denial.scope


def test_who_embeds_is_not_sent_to_a_model_that_talks(ada):
    assert ada.admit(make_facts(has_output=False, output_cap_tokens=0)).code == "wallet_empty"


def test_a_wallet_that_carries_a_call_needs_no_floor(tmp_path):
    desk = Desk(
        tmp_path, wallet(lot(1, CREDIT), floor_model="haiku", floor_pool_id=FLOOR_POOL),
        wallet(lot(5, CREDIT), id=FLOOR_POOL, name="Floor"), cards=(make_card(), HAIKU), keys=(key(1, ADA_KEY, 1),),
    )  # fmt: skip
    assert isinstance(desk.admit(), HotHold)
    assert desk.key().floor is not None
    assert desk.now == T0
