"""Limits: the hot path and the engine count alike, and no true window ever holds more than its cap (DESIGN §4 law 3, §5)."""

import tempfile
from collections import Counter
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from tests.cast import ADA_WALLET, CREDIT, DAY, HOUR, T0, make_card
from tests.desk import ADA_KEY, Desk, holds_on, key, lot, make_facts, make_meter, wallet
from tests.unit.model.test_limit import ada_daily
from tokenroll.engine.bounding import TEXT_INPUT_METERS, CallSize, bound_nanos_at, compile_bound
from tokenroll.engine.limiting import Verdict, cap_at, counted_for, judge, raised_by, window_at
from tokenroll.engine.rating import charge_nanos
from tokenroll.model.enforcement import Enforcement
from tokenroll.model.hold import ReleaseReason
from tokenroll.model.identifier import HoldKey
from tokenroll.model.limit import LIMIT_MEASURES, Degrade, LimitMeasure, LimitOverride, LimitScope, WindowKind
from tokenroll.model.usage import Usage
from tokenroll.services.hot import HotHold
from tokenroll.services.protocol import CounterChange, Delta, LimitTerms, View
from tokenroll.store.attempt_record import hold_number
from tokenroll.store.tape import RAISE_OVERAGE, RAISE_WOULD_DENY, Finish
from tokenroll.upstream.dialect import Denial

CARD = make_card()
RATES = compile_bound(CARD, ("standard",), TEXT_INPUT_METERS)
BERLIN = ZoneInfo("Europe/Berlin")


@st.composite
def limits(draw_from):
    """Up to four limits with every scope, window, measure and policy, small enough to be reached; most of them count Ada."""
    made = []
    for number in range(1, draw_from(st.integers(1, 4)) + 1):
        window = draw_from(st.sampled_from(list(WindowKind)))
        measure = draw_from(st.sampled_from(list(LimitMeasure)))
        degrade = draw_from(st.sampled_from([Degrade.DENY, Degrade.DENY, Degrade.OVERAGE]))
        unit = {LimitMeasure.CREDITS: CREDIT // 100, LimitMeasure.CALLS: 1}.get(measure, 2_000)
        made.append(_limit(draw_from, number, window, measure, degrade, unit))
    return made


ADA_KEY_TERMS = key(1, ADA_KEY, ADA_WALLET, department_ids=[3, 5])
"""Ada's key: her own number and its are 1, her department is 5, in 3. Her calls ask for `sonnet` under two tags."""
ADA_TAGS = "close,month"
SUBJECTS: dict[LimitScope, tuple[list[dict[str, Any]], list[dict[str, Any]]]] = {
    LimitScope.COMPANY: ([{"subject_id": 0}], []),
    LimitScope.DEPARTMENT: ([{"subject_id": 3}, {"subject_id": 5}], [{"subject_id": 4}]),
    LimitScope.MEMBER: ([{"subject_id": 1}, {"subject_id": 1, "model": "sonnet"}], [{"subject_id": 2}, {"subject_id": 1, "model": "opus"}]),
    LimitScope.KEY: ([{"subject_id": 1}, {"subject_id": 1, "tag": "close"}], [{"subject_id": 2}, {"subject_id": 1, "tag": "closes"}]),
    LimitScope.MODEL: ([{"subject_id": 0, "model": "sonnet"}], [{"subject_id": 0, "model": "opus"}]),
    LimitScope.TAG: ([{"subject_id": 0, "tag": "close"}, {"subject_id": 0, "tag": "month"}], [{"subject_id": 0, "tag": "travel"}]),
}  # fmt: skip
"""By scope: whom or what a limit names that counts Ada's calls, and what it names that does not."""


def counts_ada(limit):
    mine, _ = SUBJECTS[limit.scope]
    return any(
        all(getattr(limit, name) == value for name, value in one.items())
        and (limit.model, limit.tag) == (one.get("model", ""), one.get("tag", ""))
        for one in mine
    )


def _limit(draw_from, number, window, measure, degrade, unit):
    scope = draw_from(st.sampled_from(list(LimitScope)))
    mine, others = SUBJECTS[scope]
    return ada_daily(
        id=number, name=f"limit-{number}", scope=scope, **draw_from(st.sampled_from(mine + mine + others)), window=window,
        window_seconds=draw_from(st.sampled_from([60, 3_600, 86_399])) if window is WindowKind.ROLLING else 0,
        zone="Europe/Berlin", measure=measure, cap=draw_from(st.sampled_from([0, 1, 4, 12, 50])) * unit, degrade=degrade,
        overage=2 * unit if degrade is Degrade.OVERAGE else 0,
        enforcement=draw_from(st.sampled_from([Enforcement.ENFORCE, Enforcement.ENFORCE, Enforcement.OBSERVE])),
        expires_at=draw_from(st.sampled_from([None, None, T0 + 3 * DAY])),
    )  # fmt: skip


def terms(limit, overrides=(), counters=()):
    return LimitTerms(
        limit.id, limit.name, limit.scope.value, limit.subject_id, "the member Ada", limit.model, limit.tag,
        limit.window.value, limit.window_seconds, limit.zone, limit.measure.value, limit.cap, limit.enforcement.value,
        limit.degrade.value, limit.cheaper_model, limit.overage, limit.effective_at, limit.expires_at or 0,
        [(one.cap, one.effective_at, one.expires_at) for one in overrides], list(counters),
    )  # fmt: skip


CALLS = st.tuples(st.just("call"), st.integers(0, 2_000), st.integers(256, 1_000))
ENDS = st.tuples(
    st.sampled_from(["settle", "settle", "settle", "release", "lapse", "resolve"]),
    st.integers(0, 5),
    st.integers(0, 100),
)
JUMPS = st.tuples(st.just("jump"), st.sampled_from([1, 1_000_000, 30_000_000, 60_000_000, HOUR, 7 * HOUR, DAY]))
OVERRIDES = st.tuples(st.just("override"), st.integers(0, 3), st.integers(0, 9), st.sampled_from([HOUR, DAY]))


class Both:
    """A worker's desk, and a book of counters kept by the engine's words alone."""

    def __init__(self, directory, made):
        self.desk = Desk(directory, wallet(lot(1, 10**15)), keys=(ADA_KEY_TERMS,))
        self.limits = made
        self.overrides: dict[int, list[LimitOverride]] = {one.id: [] for one in made}
        self.desk.spending.apply_view(View([], [], {}, True, limits=[terms(one) for one in made]))
        self.counters: Counter[tuple[int, int]] = Counter()
        self.open = []
        self.lapsed = []
        self.calls = []
        self.numbers = iter(range(1, 10_000))

    def window(self, limit):
        return window_at(limit.window, limit.window_seconds, self.desk.now, BERLIN)

    def used(self, limit):
        since = self.window(limit).counted_from
        return sum(used for (number, start), used in self.counters.items() if number == limit.id and start >= since)

    def holding(self):
        now = self.desk.now
        return [
            one
            for one in self.limits
            if counts_ada(one) and one.effective_at <= now and (one.expires_at is None or now < one.expires_at)
        ]

    def call(self, input_bytes, cap):
        size = CallSize(input_bytes=input_bytes, message_count=1, output_cap_tokens=cap)
        bound = bound_nanos_at(RATES, size)
        raises = []
        refused = False
        for limit in self.holding():
            amount = raised_by(limit.measure, bound, input_bytes + 16, cap)
            verdict = judge(limit, cap_at(limit, self.overrides[limit.id], self.desk.now), self.used(limit), amount)
            refused |= verdict is Verdict.REFUSED
            flags = {Verdict.WOULD_DENY: RAISE_WOULD_DENY, Verdict.OVERAGE: RAISE_OVERAGE}.get(verdict, 0)
            raises.append((limit.id, LIMIT_MEASURES.index(limit.measure), flags, self.window(limit).start_at, amount))
        admitted = self.desk.admit(make_facts(input_bytes=input_bytes, output_cap_tokens=cap), tags=ADA_TAGS)
        if refused:
            assert isinstance(admitted, Denial), "a call above an enforced cap"
            assert admitted.code == "limit_reached"
            return
        assert isinstance(admitted, HotHold), "a false denial"
        (held,) = holds_on(self.desk.records())
        assert sorted(held.raises) == sorted(raises)
        for limit_id, _, _, start_at, amount in raises:
            self.counters[limit_id, start_at] += amount
        call = {"hold": admitted, "raises": raises, "at": self.desk.now, "now": {one[0]: one[4] for one in raises}}
        self.open.append(call)
        self.calls.append(call)

    def end(self, how, which, percent):
        calls = self.lapsed if how == "resolve" else self.open
        if not calls:
            return
        call = calls.pop(which % len(calls))
        hold = call["hold"]
        tokens, output = hold.input_tokens_max * percent // 100, hold.output_tokens_max * percent // 100
        cached = tokens // 3
        usage = Usage(input_tokens=tokens - cached, cache_read_tokens=cached, output_tokens=output, request_count=1)
        cost = charge_nanos(CARD.internal_prices, "standard", usage)
        if how == "release":
            self.desk.spending.release(hold, ReleaseReason.NOT_SENT, self.desk.now)
        elif how == "lapse":
            self.desk.dispatch(hold)
            self.desk.spending.lapse(hold, make_meter(), self.desk.now, Finish.TIMED_OUT)
            self.lapsed.append(call)
            return
        elif how == "settle":
            self.desk.dispatch(hold)
            assert self.desk.settle(hold, input=tokens - cached, cache_read=cached, output=output, request=1) == cost
        changes = []
        for limit_id, measure, _, start_at, amount in call["raises"]:
            came_to = 0 if how == "release" else counted_for(LIMIT_MEASURES[measure], cost, usage.counts)
            self.counters[limit_id, start_at] += came_to - amount
            call["now"][limit_id] = came_to
            changes.append(
                CounterChange(limit_id, start_at, came_to - amount, hold_number(HoldKey(1, 7, hold.sequence)))
            )
        if how == "resolve":
            self.tell(counters=changes)

    def override(self, which, cap, lasts):
        limit = self.limits[which % len(self.limits)]
        unit = limit.cap or 1
        made = LimitOverride(
            id=next(self.numbers), limit_id=limit.id, cap=cap * unit // 3, effective_at=self.desk.now,
            expires_at=self.desk.now + lasts,
        )  # fmt: skip
        self.overrides[limit.id].append(made)
        self.tell(limits=[terms(limit, self.overrides[limit.id], [(T0, 10**9)])])  # its own counters stand

    def tell(self, **changes):
        number = self.desk.spending.last_delta + 1
        assert self.desk.spending.apply_delta(Delta(number, [], [], [], [], {}, **changes))

    def agree(self):
        for limit in self.limits:
            hot = self.desk.spending.limits.known[limit.id]
            hot.look(self.desk.now)
            assert hot.used == self.used(limit)
            assert hot.cap == cap_at(limit, self.overrides[limit.id], self.desk.now)
            assert hot.held == sum(call["now"][limit.id] for call in self.open if limit.id in call["now"])
            if limit.enforcement is Enforcement.ENFORCE and not self.overrides[limit.id]:
                assert self.truly_used(limit) <= limit.cap + limit.overage

    def truly_used(self, limit):
        """What calls of the window itself came to, from a list of them and not from any counter."""
        now = self.desk.now
        since = (
            now - limit.window_seconds * 10**6 + 1
            if limit.window is WindowKind.ROLLING
            else self.window(limit).start_at
        )
        return sum(call["now"].get(limit.id, 0) for call in self.calls if call["at"] >= since)


@given(limits(), st.lists(CALLS | CALLS | CALLS | ENDS | ENDS | JUMPS | OVERRIDES, min_size=12, max_size=40))
def test_hot_counters_are_the_engines_and_no_window_holds_more_than_its_cap(made, steps):
    with tempfile.TemporaryDirectory() as directory:
        both = Both(Path(directory), made)
        for step in steps:
            match step:
                case ("call", input_bytes, cap):
                    both.call(input_bytes, cap)
                case ("jump", micros):
                    both.desk.now += micros
                case ("override", which, cap, lasts):
                    both.override(which, cap, lasts)
                case (how, which, percent):
                    both.end(how, which, percent)
            both.agree()
            both.desk.records()


@given(
    st.integers(0, 30_000_000), st.integers(1, 4), st.sampled_from(["deny", "clamp"]), st.sampled_from([0, 500, 4_000])
)
def test_whatever_a_limit_lowers_fits_it_and_is_never_below_the_floor(cap, choices, degrade, asked):
    limit = ada_daily(cap=cap, subject_id=1, degrade=Degrade(degrade))
    with tempfile.TemporaryDirectory() as directory:
        desk = Desk(Path(directory), wallet(lot(1, 10**15)))
        desk.spending.apply_view(View([], [], {}, True, limits=[terms(limit)]))
        admitted = desk.admit(make_facts(output_cap_tokens=asked, choice_count=choices))
        if isinstance(admitted, Denial):
            least = CallSize(input_bytes=1_000, message_count=1, output_cap_tokens=asked or 256, choice_count=choices)
            if degrade == "clamp" and asked:
                least = CallSize(input_bytes=1_000, message_count=1, output_cap_tokens=256, choice_count=choices)
            assert bound_nanos_at(RATES, least) > cap
            return
        sent = admitted.output_cap_tokens or asked
        size = CallSize(input_bytes=1_000, message_count=1, output_cap_tokens=sent, choice_count=choices)
        assert bound_nanos_at(RATES, size) == admitted.bound_nanos <= cap
        assert sent >= 256


PART = 60_000_000  # a sixtieth of an hour
GAPS = st.sampled_from([0, 1, PART // 2, PART - 1, PART, PART + 1, HOUR - PART, HOUR - 1, HOUR, HOUR + 1, HOUR + PART])


@given(st.integers(0, PART), st.integers(1, 3), st.lists(GAPS, min_size=2, max_size=12))
def test_a_rolling_hour_holds_its_cap_to_the_microsecond_and_is_late_by_a_sixtieth_at_most(offset, cap, gaps):
    limit = ada_daily(
        cap=cap, subject_id=1, measure=LimitMeasure.CALLS, window=WindowKind.ROLLING, window_seconds=3_600
    )
    with tempfile.TemporaryDirectory() as directory:
        desk = Desk(Path(directory), wallet(lot(1, 10**15)))
        desk.spending.apply_view(View([], [], {}, True, limits=[terms(limit)]))
        desk.now += offset
        admitted = []
        for gap in gaps:
            desk.now += gap
            answer = desk.admit()
            if isinstance(answer, HotHold):
                admitted.append(desk.now)
                assert sum(at > desk.now - HOUR for at in admitted) <= cap, "more calls in an hour than the cap"
            else:
                assert sum(at > desk.now - HOUR - PART for at in admitted) >= cap, "refused when it had room"
                assert desk.now < answer.next_at <= desk.now + HOUR + PART
