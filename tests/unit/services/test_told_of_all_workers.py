"""Several workers: what one of them tells people of a wallet, a limit or a call is so of all of them, or is not said."""

from tests import ledger_kit as kit
from tests.desk import wallet
from tests.ledger_kit import CREDIT, DAY, HOUR
from tests.pair import SECRETS
from tests.unit.services.test_lending import story
from tests.unit.services.test_lending_races import credits_worth
from tokenroll.model.instant import text_from_instant
from tokenroll.services.amounts_desk import told
from tokenroll.services.cold_terms import Wallets
from tokenroll.services.hot import HotHold, HotWallet, Lessees
from tokenroll.services.hot_limits import paces_of
from tokenroll.services.protocol import AskAmounts, ClientCallTerms
from tokenroll.upstream.dialect import denial_headers


@story
def test_an_empty_wallet_is_told_with_what_calls_at_other_workers_hold(pair):
    held = pair.call(1, "Bo", **credits_worth(24)).hold
    assert 24 * CREDIT < held.bound_nanos < 25 * CREDIT
    denial = pair.call(0, "Bo", **credits_worth(2)).denial
    assert (denial.code, denial.held_nanos) == ("wallet_empty", held.bound_nanos)
    assert "24.006096000 credits are in use by other calls now." in denial.sentence()


@story
def test_a_lot_that_begins_is_counted_before_anything_of_it_is_lent(pair):
    """A call that names no output cap is given what a quarter of Bo's money affords, not the least there is."""
    pair.do("grant.create", to="Bo", plan="tools", effective_at=pair.now + DAY)
    pair.talk()
    first = pair.call(0, "Bo", **credits_worth(0.03))
    assert isinstance(pair.call(1, "Bo", **credits_worth(24.9)).answer, HotHold)
    assert pair.call(0, "Bo", **credits_worth(1)).denial.code == "wallet_empty"
    first.settle(input=10, output=0)
    pair.talk()
    bo = pair.workers[0].spending.wallets[kit.BO]
    assert bo.next_arrival(pair.now) == (kit.START + DAY, 40 * CREDIT)
    pair.now += DAY + 1
    call = pair.call(0, "Bo", output_cap_tokens=0)
    assert call.hold.output_tokens_max == 16_384  # what the plan says: ten credits afford more
    pair.prove()


@story
def test_a_lot_that_began_is_counted_once(pair):
    pair.do("grant.create", to="Bo", plan="tools", effective_at=pair.now + DAY)
    pair.talk()
    bo = pair.workers[0].spending.wallets[kit.BO]
    bo.look(pair.now)
    assert bo.elsewhere_nanos == 5 * CREDIT
    for hour in (24, 25, 26):
        bo.look(kit.START + hour * HOUR)
        assert bo.elsewhere_nanos == 45 * CREDIT
        assert bo.next_arrival(kit.START + hour * HOUR) == (0, 0)


def limited(pair, cap, **how):
    """Ada's calls are limited."""
    pair.do("limit.create", name="hers", member="Ada", cap=cap, **{"window": "day", "measure": "calls", **how})
    pair.talk()


@story
def test_who_is_denied_is_told_when_the_window_of_a_limit_turns(pair):
    limited(pair, 3)
    for _ in range(3):
        assert isinstance(pair.call(1).answer, HotHold)
    denial = pair.call(0).denial
    assert (denial.code, denial.limit_left) == ("limit_reached", "0 calls")
    assert text_from_instant(denial.next_at) == "2026-01-06T00:00:00Z"
    assert "There is room for it again at" in denial.sentence()


@story
def test_who_is_denied_is_told_what_all_workers_left_of_a_limit(pair):
    limited(pair, 10 * CREDIT, measure="credits")
    other = pair.call(1, **credits_worth(4)).hold
    denial = pair.call(0, **credits_worth(7)).denial
    assert (denial.code, denial.left_nanos) == ("limit_reached", 10 * CREDIT - other.bound_nanos)
    assert (denial.limit_left, denial.limit_needed) == ("5.993914 credits", "7.006086 credits")
    assert "has 5.993914 credits left in this day" in denial.sentence()
    fits = pair.call(0, output_cap_tokens=denial.fitting_cap_tokens)
    assert isinstance(fits.answer, HotHold)
    pair.prove()


@story
def test_what_is_more_than_the_whole_cap_is_told_with_no_amount_that_nobody_asked_for(pair):
    """The ledger is not asked for what it can never lend, so what the other worker used is not known here."""
    limited(pair, 10 * CREDIT, measure="credits")
    pair.call(1, **credits_worth(4))
    denial = pair.call(0, **credits_worth(11)).denial
    assert (denial.code, denial.limit_left, denial.left_nanos) == ("limit_reached", "at most 10.00 credits", 0)
    assert "has at most 10.00 credits left in this day" in denial.sentence()
    assert denial.sentence().count("It is more than the whole cap.") == 1
    assert b"x-tokenroll-available" not in denial_headers(denial, should_retry=False)


@story
def test_who_is_denied_for_a_pace_is_told_of_the_whole_of_it_as_providers_say_it(pair):
    limited(pair, 3, window="minute")
    pair.call(0)
    pair.call(1)
    pair.call(1)
    denial = pair.call(0).denial
    assert denial.retry_after_millis == 60_000
    assert denial.pace_text.endswith("on requests per min (RPM): Limit 3, Used 3, Requested 1")


@story
def test_the_pace_that_clients_are_told_has_the_whole_cap(pair):
    limited(pair, 3)
    held = pair.call(0).hold
    (pace,) = paces_of(held.limited.limits, pair.now)
    assert (pace.cap, pace.left) == (3, 2)


@story
def test_what_is_left_of_a_pace_counts_the_calls_of_other_workers(pair):
    """As the ledger said it when the share was asked for: four calls there and one here, of ten. The next day has all ten again but for one."""
    limited(pair, 10)
    for _ in range(4):
        pair.call(1).settle(input=10, output=0)
    pair.talk()
    held = pair.call(0).hold
    (pace,) = paces_of(held.limited.limits, pair.now)
    assert (pace.cap, pace.left) == (10, 5)
    assert text_from_instant(pace.restored_at) == "2026-01-06T00:00:00Z"
    pair.now += DAY
    (pace,) = paces_of(pair.call(0).hold.limited.limits, pair.now)
    assert (pace.cap, pace.left) == (10, 9)


@story
def test_a_call_that_is_denied_for_a_pace_is_told_that_nothing_is_left(pair):
    limited(pair, 3)
    for _ in range(3):
        pair.call(1).settle(input=10, output=0)
    pair.talk()
    (pace,) = pair.call(0).denial.paces
    assert (pace.cap, pace.left) == (3, 0)


@story
def test_the_wallet_tells_the_whole_cap_of_a_limit(pair):
    limited(pair, 3)
    pair.call(1)
    spending = pair.workers[0].spending
    key = spending.key_for(SECRETS["Ada"], pair.now)
    asked = AskAmounts(0, 1, 1, 0, [kit.ADA, kit.POOL], [next(iter(spending.limits.known))])
    (shown,) = spending.told_wallet_view(key, told(pair.ledger, asked), pair.now)["limits"]
    assert (shown["cap"], shown["used"], shown["in_use_now"]) == ("3 calls", "1 calls", "1 calls")


def repeats(call):
    """What a call is told whose name was used."""
    return call.denial.code, call.denial.state, call.denial.cost_nanos


@story
def test_a_call_that_was_running_when_a_worker_began_is_told_there_as_it_ended(pair):
    call = pair.call(0, call_id=b"once")
    pair.restart(1)
    pair.talk()  # its view says that the call is held
    assert repeats(pair.call(1, call_id=b"once")) == ("call_repeated", "still running", None)
    call.settle(input=1_000, output=10)
    pair.talk()
    cost = 1_000 * kit.IN_NANOS + 10 * kit.OUT_NANOS
    assert repeats(pair.call(1, call_id=b"once")) == ("call_repeated", "settled", cost)
    assert pair.rows("SELECT count(*) FROM call_claims") == [(0,)]
    pair.prove()


@story
def test_a_call_that_ended_at_another_worker_is_told_as_it_ended(pair):
    call = pair.call(0, call_id=b"once")
    pair.talk()
    call.settle(input=1_000, output=10)
    pair.talk()
    assert repeats(pair.call(1, call_id=b"once"))[:2] == ("call_repeated", "settled")


@story
def test_a_name_that_this_worker_knows_to_be_used_is_sent_by_no_ledgers_word(pair):
    """As when a ledger's older copy is put back, which does not know the call."""
    worker = pair.workers[1]
    worker.spending._memory.learn(ClientCallTerms(api_key_id=1, client_call_id="once", state="held", charge_nanos=0))
    assert repeats(pair.call(1, call_id=b"once")) == ("call_repeated", "still running", None)


def told_of_overage(limit, **carried):
    """Bo's wallet as the ledger tells it to every worker: what the company may carry, and what it carried at workers 0, 1 and 2."""
    numbers = {"first": 0, "second": 1, "third": 2}
    return wallet(overage_nanos_max=limit, carried=[(numbers[name], nanos) for name, nanos in carried.items()])


FIRST, SECOND = Lessees(0, 2, frozenset({0, 1})), Lessees(1, 2, frozenset({0, 1}))


def carries(one, nanos):
    """A call of Bo's is settled, of which the company carries this."""
    one.overage_left_nanos -= nanos
    one.carried_nanos += nanos


def test_parts_of_an_overage_limit_are_never_more_than_the_limit():
    """Twelve for two workers. The ledger has folded what one of them carried and not yet what the other did."""
    mine, other = HotWallet(told_of_overage(12), FIRST), HotWallet(told_of_overage(12), SECOND)
    assert (mine.overage_left_nanos, other.overage_left_nanos) == (6, 6)
    carries(mine, 3)
    carries(other, 4)
    for one in (mine, other):
        one.set_terms(told_of_overage(12, second=4))
    assert (mine.overage_left_nanos, other.overage_left_nanos) == (3, 2)
    for one in (mine, other):  # now both are folded, and the plan lets the company carry two more
        one.set_terms(told_of_overage(14, first=3, second=4))
    assert (mine.overage_left_nanos, other.overage_left_nanos) == (4, 3)


def test_a_worker_that_begins_anew_has_its_part_less_what_its_earlier_lives_carried():
    """Twelve for two: whoever begins how often, each may carry six."""
    assert HotWallet(told_of_overage(12, first=5), FIRST).overage_left_nanos == 1
    assert HotWallet(told_of_overage(12, first=5), SECOND).overage_left_nanos == 6
    assert HotWallet(told_of_overage(12, first=6, second=2), FIRST).overage_left_nanos == 0


def test_who_carried_more_than_its_part_leaves_the_others_parts_of_the_rest():
    """One worker alone carried 24 of thirty; then there are three. Or one its half of them, as one of two."""
    three = frozenset({0, 1, 2})
    alone, one_of_two = told_of_overage(30, first=24), told_of_overage(30, first=15, second=4)
    assert [HotWallet(alone, Lessees(one, 3, three)).overage_left_nanos for one in range(3)] == [-14, 3, 3]
    assert [HotWallet(one_of_two, Lessees(one, 3, three)).overage_left_nanos for one in range(3)] == [-5, 3, 7]


def test_what_a_worker_that_is_gone_carried_is_nobodys_part():
    """Twelve for three, then for two: the third carried four, so four are the part of each."""
    told = told_of_overage(12, second=1, third=4)
    assert HotWallet(told, FIRST).overage_left_nanos == 4
    assert HotWallet(told, SECOND).overage_left_nanos == 3


def test_no_part_of_an_overage_limit_is_more_than_all_that_is_left():
    """The plan's limit was twelve and is five, of which four are used."""
    mine = HotWallet(told_of_overage(12), FIRST)
    carries(mine, 1)
    mine.set_terms(told_of_overage(5, first=1, second=3))
    assert mine.overage_left_nanos == 1
    mine.set_terms(told_of_overage(9, first=1, second=8))
    assert mine.overage_left_nanos == 0
    mine.set_terms(told_of_overage(15, first=1, second=8))
    assert mine.overage_left_nanos == 6  # seven are its part, of which it used one


def test_one_worker_alone_has_the_whole_overage_but_for_what_it_or_the_ledger_knows_of():
    mine = HotWallet(told_of_overage(12, first=2))
    carries(mine, 3)
    mine.set_terms(told_of_overage(12, first=4))  # of its three, two are folded
    assert mine.overage_left_nanos == 7
    carries(mine, 1)
    mine.set_terms(told_of_overage(12, first=6))
    assert mine.overage_left_nanos == 6


def test_one_worker_alone_has_what_those_before_it_left():
    assert HotWallet(told_of_overage(12, first=2, second=7)).overage_left_nanos == 3


def test_what_was_found_out_counts_for_a_wallet_that_nobody_used_here():
    packed = Wallets()
    packed.lessees = SECOND
    packed.begin(told_of_overage(12, second=4))
    packed.carry(kit.ADA, -3)
    packed.renew(told_of_overage(12, first=2, second=4))
    assert (packed[kit.ADA].carried_nanos, packed[kit.ADA].overage_left_nanos) == (1, 5)


def test_a_part_of_an_overage_limit_is_the_same_for_a_wallet_that_nobody_used_here():
    packed = Wallets()
    packed.lessees = SECOND
    packed.begin(told_of_overage(12, second=1))
    packed.renew(told_of_overage(12, first=3, second=1))
    packed.renew(told_of_overage(9, first=6, second=1))
    assert packed[told_of_overage(12).id].overage_left_nanos == 2  # three would be more than all that is left
