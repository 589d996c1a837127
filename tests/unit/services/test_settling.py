"""The other half of spending: settlement, the tape, used call ids, and what leases and deltas change."""

import struct
from typing import Any

import pytest

from tests.cast import BO_WALLET, CREDIT, DAY, HOUR, POOL_WALLET, T0, make_card
from tests.desk import (
    ADA_KEY,
    BO_KEY,
    BOUND,
    Desk,
    card_terms,
    holds_on,
    key,
    last_settlement,
    lot,
    make_facts,
    make_meter,
    make_silent_meter,
    wallet,
)
from tokenroll.model.hold import ReleaseReason, Slice
from tokenroll.model.identifier import HoldKey, hold_key_from_call
from tokenroll.model.rate_card import RateTable, RateTier
from tokenroll.model.usage import Meter
from tokenroll.services.hot import HotHold
from tokenroll.services.protocol import CardTerms, ClientCallTerms, Delta, Lease, LotChange, ProtocolError, View
from tokenroll.store import tape as tapes
from tokenroll.store.attempt_record import hold_number
from tokenroll.store.tape import Finish, RecordType


@pytest.fixture
def ada(tmp_path):
    """Ada has one credit in one lot."""
    return Desk(tmp_path, wallet(lot(1, CREDIT)))


# ---- settlement ---------------------------------------------------------------------------------------------------


def test_a_settlement_takes_the_charge_and_returns_the_tail(ada):
    hold = ada.admit()
    ada.dispatch(hold)
    # 900 x 3,000 + 100 x 300 + 50 x 15,000 nanos
    assert ada.settle(hold, input=900, cache_read=100, output=50, request=1) == 3_480_000
    assert ada.available() == CREDIT - 3_480_000
    assert (ada.spending.wallets[1].held_nanos, ada.spending.wallets[1].spent_nanos) == (0, 3_480_000)
    assert not ada.spending.open_holds


def test_a_settlement_rounds_once_and_halves_to_even(tmp_path):
    table = RateTable(base={Meter.INPUT: 5 * 10**8, Meter.OUTPUT: 5 * 10**8})
    desk = Desk(tmp_path, wallet(lot(1, CREDIT)), cards=(make_card(table),))
    assert desk.call(input=1, output=0) == 0  # half a nano goes to the even 0
    assert desk.call(input=1, output=1) == 1
    assert desk.call(input=3, output=0) == 2  # one and a half go to the even 2


def test_a_charge_above_the_hold_is_the_companys(ada):
    hold = ada.admit()
    ada.dispatch(hold)
    assert ada.settle(hold, input=10_000) == 30_000_000
    assert ada.available() == CREDIT - BOUND
    assert ada.spending.wallets[1].spent_nanos == BOUND


def test_a_long_context_changes_the_whole_calls_rates(tmp_path):
    steps = RateTable(
        base={Meter.INPUT: 10**12, Meter.OUTPUT: 10**12},
        tiers=(RateTier(input_tokens_above=200, rates={Meter.INPUT: 2 * 10**12, Meter.OUTPUT: 3 * 10**12}),),
    )
    desk = Desk(tmp_path, wallet(lot(1, CREDIT)), cards=(make_card(steps),))
    assert desk.call(input=150, cache_read=50, output=10) == 210_000
    assert desk.call(input=150, cache_read=51, output=10) == 432_000


def test_list_and_net_prices_are_told_beside_the_internal_one(tmp_path):
    def table(factor):
        return {"standard": RateTable(base={Meter.INPUT: factor * 10**12, Meter.OUTPUT: factor * 10**12})}

    card = make_card(internal_prices=table(1), list_prices=table(3), net_prices=table(2))
    desk = Desk(tmp_path, wallet(lot(1, CREDIT)), cards=(card,))
    assert desk.call(input=100, output=10) == 110_000
    settled = last_settlement(desk.records())
    assert (settled.charge_nanos, settled.list_cost_nanos, settled.net_cost_nanos) == (110_000, 330_000, 220_000)


def test_the_tier_that_answered_decides_the_price(tmp_path):
    prices = {
        "standard": RateTable(base={Meter.INPUT: 10**12, Meter.OUTPUT: 10**12}),
        "flex": RateTable(base={Meter.INPUT: 5 * 10**11, Meter.OUTPUT: 5 * 10**11}),
    }
    desk = Desk(
        tmp_path,
        wallet(lot(1, CREDIT)),
        cards=(make_card(list_prices=prices, net_prices=prices, internal_prices=prices),),
    )
    hold = desk.admit()
    desk.dispatch(hold)
    meter = make_meter(input=100, output=10)
    meter.service_tier = "flex"
    assert desk.spending.settle(hold, meter, T0, 200, Finish.COMPLETE) == 55_000
    assert last_settlement(desk.records()).service_tier == "flex"
    hold = desk.admit()
    desk.dispatch(hold)
    meter.service_tier = "priority"  # a tier that the card does not sell: the hold's own stands
    assert desk.spending.settle(hold, meter, T0, 200, Finish.COMPLETE) == 110_000


def test_a_meter_without_a_price_is_never_free(ada):
    hold = ada.admit()
    ada.dispatch(hold)
    # 10 audio tokens that the card does not price, at the dearest rate of the bound: 15,000 nanos each
    assert ada.settle(hold, input=10, output=0, output_audio=10) == 180_000
    assert last_settlement(ada.records()).source == tapes.TapeSource.ESTIMATED


def test_an_aborted_call_pays_the_evidence_and_says_estimated(ada):
    hold = ada.admit()
    ada.dispatch(hold)
    meter = make_silent_meter()
    meter.output_events = 12
    # 1,000 bytes are about 250 tokens in; 12 events are at least 12 tokens out: 250 x 3,000 + 12 x 15,000
    assert ada.spending.settle(hold, meter, T0, 200, Finish.CLIENT_GONE) == 930_000
    settled = last_settlement(ada.records())
    assert (settled.source, settled.finish) == (tapes.TapeSource.ESTIMATED, Finish.CLIENT_GONE)


def test_an_estimate_is_never_above_what_was_bounded(ada):
    hold = ada.admit()
    ada.dispatch(hold)
    meter = make_silent_meter(delivered_bytes=10_000_000)
    meter.output_events = 5_000
    assert ada.spending.settle(hold, meter, T0, 200, Finish.UPSTREAM_CUT) == 750_000 + 100 * 15_000


def test_a_hold_ends_once(ada):
    hold = ada.admit()
    ada.dispatch(hold)
    ada.settle(hold, input=10)
    left = ada.available()
    for again in (
        lambda: ada.settle(hold, input=10),
        lambda: ada.spending.release(hold, ReleaseReason.PROVIDER_ERROR, T0, 500),
        lambda: ada.spending.lapse(hold, make_meter(), T0, Finish.TIMED_OUT),
    ):
        with pytest.raises(AssertionError, match="has ended before: it is settled"):
            again()
    assert ada.available() == left


def test_names_run_out_at_the_end_of_their_range_and_calls_go_on(ada):
    ada.spending._once_names = 4_294_967_295
    left = ada.available()
    for request_id, number in (("req-1", 4_294_967_295), ("req-2", 0)):
        hold = ada.admit()
        ada.dispatch(hold)
        meter = make_meter(input=10)
        meter.provider_request_id = request_id
        assert ada.spending.settle(hold, meter, T0, 200, Finish.COMPLETE) == 30_000
        assert last_settlement(ada.records()).request_id_name == number
    assert ada.available() == left - 60_000
    assert not ada.spending.open_holds


def test_what_cannot_be_recorded_ends_no_hold(ada, monkeypatch):
    hold = ada.admit()
    ada.dispatch(hold)
    meter = make_meter(input=10)
    meter.answered_model = "another"

    def full(text: str) -> int:
        raise OverflowError(text)

    with monkeypatch.context() as patch:
        patch.setattr(ada.spending, "_name", full)
        with pytest.raises(OverflowError):
            ada.spending.settle(hold, meter, T0, 200, Finish.COMPLETE)
    assert (hold.state, list(ada.spending.open_holds)) == ("held", [hold.sequence])
    assert ada.spending.settle(hold, meter, T0, 200, Finish.COMPLETE) == 30_000


def test_a_hold_that_was_never_dispatched_cannot_cost(ada):
    hold = ada.admit()
    with pytest.raises(AssertionError, match="was never dispatched"):
        ada.settle(hold, input=1)


def test_only_law_five_releases(ada):
    sent, unsent = ada.admit(), ada.admit()
    ada.dispatch(sent)
    with pytest.raises(AssertionError, match="cannot be released as not_sent"):
        ada.spending.release(sent, ReleaseReason.NOT_SENT, T0)
    with pytest.raises(AssertionError, match="cannot be released as provider_error"):
        ada.spending.release(unsent, ReleaseReason.PROVIDER_ERROR, T0, 500)
    ada.spending.release(sent, ReleaseReason.PROVIDER_ERROR, T0, 529)
    ada.spending.release(unsent, ReleaseReason.NOT_SENT, T0)
    assert ada.available() == CREDIT


def test_a_lapse_keeps_the_money_in_suspense(ada):
    hold = ada.admit()
    ada.dispatch(hold)
    ada.spending.evidence(hold, make_silent_meter(), T0)
    ada.spending.lapse(hold, make_silent_meter(), T0, Finish.TIMED_OUT)
    mine = ada.spending.wallets[1]
    assert (ada.available(), mine.held_nanos, mine.suspense_nanos) == (CREDIT - BOUND, 0, BOUND)
    assert [kind for kind, _ in ada.records()][-2:] == [RecordType.EVIDENCE, RecordType.LAPSE]


# ---- the tape -----------------------------------------------------------------------------------------------------


def test_the_tape_tells_a_call_from_hold_to_settlement(ada):
    ada.now = T0 + 5
    hold = ada.admit(make_facts(stream=True), call_id=b"job-1")
    ada.dispatch(hold)
    hold.first_byte_at = T0 + 7
    meter = make_meter(input=10, output=2, request=1)
    meter.answered_model = "sonnet"
    meter.provider_request_id = "req_1"
    meter.delivered_output_bytes = 345
    ada.now = T0 + 9
    ada.spending.settle(hold, meter, T0 + 9, 200, Finish.COMPLETE)
    records = ada.records()
    assert [kind for kind, _ in records] == [
        RecordType.NAME, RecordType.NAME, RecordType.NAME, RecordType.SHORT_HOLD, RecordType.DISPATCHED, RecordType.NAME,
        RecordType.SHORT_SETTLE,
    ]  # fmt: skip
    names = {
        struct.unpack_from("<I", record, 4)[0]: record[8:].decode()
        for kind, record in records
        if kind == RecordType.NAME
    }
    (held,) = holds_on(records)
    assert held[:3] == (tapes.HOLD_STREAM, 1, 0)
    assert hold.sequence == 4
    number = hold_number(HoldKey(ada.tape.worker, ada.tape.epoch, 4))
    assert held.call_number(number).to_bytes(16, "big") == hold.call_number_bytes
    assert held[3:9] == (1, 1, 1, T0 + 5, BOUND, 0)
    assert [names[number] if number else "" for number in held[9:13]] == ["sonnet", "sim", "", "job-1"]
    assert held[13:] == (100, 1_000, 1, 0, (Slice(1, BOUND),), ())
    assert struct.unpack_from("<qQ", records[4][1], 4) == (T0 + 5, 4)
    assert tapes.ended_sequence(records[6][1], 0) == 4
    settled = last_settlement(records)
    assert settled[:6] == (T0 + 9, T0 + 7, 60_000, 60_000, 60_000, 345)
    assert settled[6:11] == (tapes.TapeSource.REPORTED, Finish.COMPLETE, "standard", 0, 200)
    assert [names[number] for number in settled[11:13]] == ["sonnet", "req_1"]
    assert settled.counts == (10, *[None] * 5, 2, *[None] * 3, 1, *[None] * 9)


def test_one_record_dispatches_a_whole_group(tmp_path):
    desk = Desk(tmp_path, wallet(lot(1, 100 * CREDIT)))
    holds = [desk.admit() for _ in range(10_000)]
    desk.records()
    desk.dispatch(*holds)
    records = desk.records()
    sequences = [
        one for _, record in records for (one,) in struct.iter_unpack("<Q", record[tapes.DISPATCHED_HEAD.size :])
    ]
    assert sequences == [hold.sequence for hold in holds]
    assert len(records) == 2  # a record's length has 16 bits
    with pytest.raises(AssertionError, match="cannot be dispatched again"):
        desk.dispatch(holds[0])


def test_recorded_instants_never_go_back(ada):
    ada.now = T0 + HOUR
    first = ada.admit()
    ada.now = T0
    second = ada.admit()
    assert (first.admitted_at, second.admitted_at) == (T0 + HOUR, T0 + HOUR)


def test_a_call_id_holds_its_own_key_and_a_retry_keeps_it(ada):
    hold = ada.admit()
    assert hold_key_from_call(hold.call_id) == HoldKey(1, 7, hold.sequence)
    ada.spending.release(hold, ReleaseReason.NOT_SENT, T0)
    retry = ada.admit(previous=hold)
    assert (retry.call_id, retry.attempt) == (hold.call_id, 2)
    assert retry.sequence != hold.sequence
    view: Any = ada.spending.call_view(ada.key(), hold.call_id)
    assert [(one["attempt"], one["state"]) for one in view["attempts"]] == [(1, "released"), (2, "held")]


# ---- client call ids ------------------------------------------------------------------------------------------------


def test_a_repeated_client_call_id_is_never_dispatched_again(ada):
    hold = ada.admit(call_id=b"job-1")
    running = ada.admit(call_id=b"job-1")
    assert (running.code, running.state) == ("call_repeated", "still running")
    ada.dispatch(hold)
    ada.settle(hold, input=1_000)
    repeated = ada.admit(call_id=b"job-1")
    assert (repeated.state, repeated.cost_nanos) == ("settled", 3_000_000)
    assert "It cost 0.003000000 credits." in repeated.sentence()
    assert ada.available() == CREDIT - 3_000_000


def test_client_call_ids_are_one_keys_own(tmp_path):
    desk = Desk(tmp_path, wallet(lot(1, CREDIT)), wallet(lot(2, CREDIT), id=BO_WALLET, name="Bo"))
    first = desk.admit(call_id=b"job-1")
    assert isinstance(desk.admit(secret=BO_KEY, call_id=b"job-1"), HotHold)
    assert desk.spending.call_view(desk.key(BO_KEY), first.call_id) is None
    mine: Any = desk.spending.call_view(desk.key(), "job-1")
    assert mine["id"] == first.call_id


def test_a_settled_call_is_still_told_whole_to_its_own_wallet(tmp_path):
    desk = Desk(tmp_path, wallet(lot(1, CREDIT)), wallet(lot(2, CREDIT), id=BO_WALLET, name="Bo"))
    hold = desk.admit()
    desk.dispatch(hold)
    before: Any = desk.spending.call_view(desk.key(), hold.call_id)
    assert (before["attempts"][0]["state"], before["attempts"][0]["cost"]) == ("held", None)
    desk.settle(hold, input=1_000)
    view: Any = desk.spending.call_view(desk.key(), hold.call_id)
    settled = {"state": "settled", "cost": "0.003000000"}
    assert view == {**before, "attempts": [{**before["attempts"][0], **settled}]}
    assert desk.spending.call_view(desk.key(BO_KEY), hold.call_id) is None


def test_it_remembers_a_bounded_number_of_calls(tmp_path, monkeypatch):
    monkeypatch.setattr("tokenroll.services.call_memory.CALLS_REMEMBERED_MAX", 10)
    desk = Desk(tmp_path, wallet(lot(1, 100 * CREDIT)))
    mine = desk.key()
    calls = []
    for number in range(25):
        hold = desk.admit(call_id=f"job-{number}".encode())
        desk.spending.release(hold, ReleaseReason.NOT_SENT, T0)
        calls.append(hold.call_id)
        known = [one for one in calls if desk.spending.call_view(mine, one)]
        assert known == calls[-10:]
    newest: Any = desk.spending.call_view(mine, "job-24")
    assert newest["attempts"][0]["state"] == "released"
    assert desk.spending.call_view(mine, "job-3") is None
    # its whole story is the ledger's to tell, but it is still never sent again
    assert desk.admit(call_id=b"job-3").state == "released without a charge"
    assert desk.spending.call_view(mine, "nonsense") is None


def test_ids_of_an_earlier_life_are_never_sent_again(ada):
    told = [ClientCallTerms(1, "job-1", "settled", 3_000_000), ClientCallTerms(1, "job-2", "suspense", 0)]
    ada.spending.apply_view(View([], [], {}, True, told))
    first, second = ada.admit(call_id=b"job-1"), ada.admit(call_id=b"job-2")
    assert (first.code, first.state, first.cost_nanos) == ("call_repeated", "settled", 3_000_000)
    assert (second.code, second.state, second.cost_nanos) == ("call_repeated", "being checked", None)


def test_client_ids_are_bounded_but_running_calls_are_not_forgotten(tmp_path, monkeypatch):
    monkeypatch.setattr("tokenroll.services.call_memory.CLIENT_CALL_IDS_REMEMBERED_MAX", 5)
    desk = Desk(tmp_path, wallet(lot(1, 100 * CREDIT)))
    running = desk.admit(call_id=b"running")
    for number in range(20):
        hold = desk.admit(call_id=f"job-{number}".encode())
        desk.spending.release(hold, ReleaseReason.NOT_SENT, T0)
    assert desk.admit(call_id=b"running").state == "still running"
    assert desk.admit(call_id=b"job-19").code == "call_repeated"
    assert isinstance(desk.admit(call_id=b"job-0"), HotHold)
    assert running.state == "held"


# ---- leases and deltas ----------------------------------------------------------------------------------------------


def test_a_delta_is_applied_once_and_in_order(ada):
    top_up = Delta(1, [], [LotChange(1, 2, 0, lot(2, 5 * CREDIT))], [], [], {})
    assert ada.spending.apply_delta(top_up)
    assert not ada.spending.apply_delta(top_up)
    assert ada.available() == 6 * CREDIT
    with pytest.raises(ProtocolError, match="expected delta 2, got 3"):
        ada.spending.apply_delta(Delta(3, [], [], [], [], {}))


def test_what_comes_out_of_suspense_can_be_held_again(ada):
    ada.admit()
    assert ada.spending.apply_delta(Delta(1, [], [LotChange(1, 1, 500, None)], [], [], {}))
    assert ada.available() == CREDIT - BOUND + 500


def test_a_lot_of_an_unknown_wallet_is_a_broken_promise(ada):
    with pytest.raises(ProtocolError, match="wallet 77"):
        ada.spending.apply_delta(Delta(1, [], [LotChange(77, 1, 1, None)], [], [], {}))
    with pytest.raises(ProtocolError, match="lot 88"):
        ada.spending.apply_delta(Delta(1, [], [LotChange(1, 88, 1, None)], [], [], {}))


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        ({"lots": [LotChange(1, 1, 500, None), LotChange(77, 1, 1, None)]}, "wallet 77"),
        ({"lots": [LotChange(1, 2, 0, lot(2, CREDIT)), LotChange(1, 88, 1, None)]}, "lot 88"),
        ({"cards": [CardTerms(9, "digest", b"{}")]}, "a rate card that is none"),
    ],
)
def test_a_delta_that_breaks_half_way_changes_nothing(ada, broken, says):
    known = {"lots": [LotChange(1, 1, 500, None)], "cards": []} | broken
    revoked = key(1, ADA_KEY, 1, revoked=True)
    new_policy = wallet(enforcement="observe", overage_nanos_max=CREDIT)
    before = (ada.available(), ada.spending.wallets[1].suspense_nanos)
    delta = Delta(1, [new_policy], known["lots"], [revoked], known["cards"], {"approver": "Cleo"})
    with pytest.raises(ProtocolError, match=says):
        ada.spending.apply_delta(delta)
    mine = ada.spending.wallets[1]
    assert (ada.available(), mine.suspense_nanos) == before
    assert (mine.enforcement, mine.overage_left_nanos, list(mine.lots)) == ("enforce", 0, [1])
    assert (ada.spending.settings, ada.spending.last_delta) == ({}, 0)
    assert ada.spending.key_for(ADA_KEY, T0) is not None
    # the same delta put right is applied whole: a lot may come and change in one
    right = [LotChange(1, 2, 0, lot(2, CREDIT)), LotChange(1, 2, 500, None)]
    assert ada.spending.apply_delta(Delta(1, [new_policy], right, [], [], {}))
    assert ada.available() == 2 * CREDIT + 500


def test_a_lease_again_does_not_undo_what_is_held(ada):
    ada.admit()
    ada.spending.apply_lease(Lease([wallet(lot(1, CREDIT), lot(2, CREDIT), enforcement="observe")], 0, 4, True))
    assert ada.available() == 2 * CREDIT - BOUND
    assert ada.spending.wallets[1].enforcement == "observe"
    assert ada.spending.last_delta == 4


def test_a_new_policy_and_new_cards_apply_at_once(ada):
    card = make_card(model="opus", id=5)
    ada.spending.apply_view(View([], [], {}, True))
    assert ada.admit(make_facts(model="opus")).code == "unknown_model"
    ada.spending.apply_delta(Delta(1, [wallet(enforcement="warn")], [], [], [card_terms(card)], {"approver": "Cleo"}))
    assert isinstance(ada.admit(make_facts(model="opus")), HotHold)
    assert ada.spending.model_names(T0) == ["opus", "sonnet"]
    assert ada.spending.approver_of("Ada") == "Cleo"


@pytest.mark.parametrize(
    ("told", "says"),
    [
        ("Cleo\nBo (for Engineering)", "Cleo or Bo (for Engineering)"),
        ("Cleo\nAda (for Engineering)", "Cleo"),
        ("Ada", "whoever runs the gateway"),
        ("Bo (for Engineering)", "Bo (for Engineering) or whoever runs the gateway"),
        ("Ada\nBo (for Sales)", "Bo (for Sales) or whoever runs the gateway"),
        (
            "Ada\nBo (for Sales)\nCleo (for Sales)\nDev (for Sales)\nanother approver",
            "Bo (for Sales) or Cleo (for Sales) or Dev (for Sales) or another approver or whoever runs the gateway",
        ),
        ("", "whoever runs the gateway"),
    ],
)
def test_a_denial_names_who_can_approve_and_never_who_asks(ada, told, says):
    ada.spending.apply_delta(Delta(1, [], [], [], [], {"approver": told}))
    denial = ada.admit(make_facts(output_cap_tokens=10**6))
    assert denial.sentence().endswith(f" A top-up can be approved by {says}.")


def test_the_wallets_page_shows_what_is_left_in_use_and_next(tmp_path):
    desk = Desk(
        tmp_path,
        wallet(lot(1, CREDIT, expires_at=T0 + 3 * DAY), lot(2, 2 * CREDIT, effective_at=T0 + DAY)),
        wallet(lot(9, 5 * CREDIT), id=POOL_WALLET, public_id="wallet_pool", name="Research"),
    )
    desk.admit()
    view = desk.spending.wallet_view(desk.key(), T0)
    assert view == {
        "unit": "credits",
        "member": "member_1",
        "wallet": "wallet_ada",
        "name": "Ada",
        "left": "0.992404000",
        "in_use_now": "0.007596000",
        "being_checked": "0.000000000",
        "spent": "0.000000000",
        "arrives_next": {"at": "2024-01-02T00:00:00Z", "amount": "2.000000000"},
        "expires_next": {"at": "2024-01-04T00:00:00Z", "amount": "0.992404000"},
        "cycle_ends_at": "2024-02-01T00:00:00Z",
        "enforcement": "enforce",
        "limits": [],
        "pool": {
            "wallet": "wallet_pool",
            "name": "Research",
            "left": "5.000000000",
            "in_use_now": "0.000000000",
            "being_checked": "0.000000000",
            "spent": "0.000000000",
            "arrives_next": None,
            "expires_next": None,
        },
    }
