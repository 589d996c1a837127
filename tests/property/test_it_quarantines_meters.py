"""One rule for broken meters: events in hand and the lake find the same calls, and what is left out and what counts are all there is."""

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.lake_kit import DAY, MONDAY, FailingDisk, Stopped, event
from tokenroll.insight.broken_meters import meter_anomalies
from tokenroll.insight.usage_shares import PricedEvent
from tokenroll.model.usage import Usage
from tokenroll.services.cost_answers import outcome_cost
from tokenroll.services.meter_quarantine import judged_calls, quarantined
from tokenroll.services.outcomes import standing
from tokenroll.store.lake import open_lake, read_lake
from tokenroll.store.lake_decisions import MeterDecision, Verdict, read_decisions
from tokenroll.store.lake_manifest import Disk
from tokenroll.store.lake_queries import Condition, UsageQuery

USD = 10**9
CALLS = st.lists(
    st.tuples(
        st.sampled_from(["litellm", "gateway", "focus"]),
        st.sampled_from(["haiku", "opus"]),
        st.sampled_from(["USD", "EUR"]),
        st.integers(1, 50),
        st.one_of(st.integers(0, 6 * USD), st.sampled_from([5 * USD, 20 * USD, 100 * USD, 100 * USD - 1, 10**18 - 1])),
        st.one_of(st.none(), st.integers(0, 200 * USD)),
        st.integers(0, 3),
        st.one_of(st.none(), st.integers(0, 30 * USD), st.sampled_from([15 * USD, 15 * USD + 1])),
    ),
    min_size=1,
    max_size=25,
)


class QuickDisk(Disk):
    def sync(self, path: Path) -> None:
        pass


def events_of(drawn):
    return [
        event(
            number, MONDAY + day * DAY, source=source, requested_model=model, currency=currency, list_cost_nanos=cost,
            billed_cost_nanos=billed, net_cost_nanos=net, usage=Usage(input_tokens=tokens, output_tokens=0), member="Ada" if number % 2 else "Bo",
        )
        for number, (source, model, currency, tokens, cost, billed, day, net) in enumerate(drawn)
    ]  # fmt: skip


@given(CALLS)
@settings(max_examples=settings().max_examples // 8)  # each makes a lake
def test_events_in_hand_and_the_lake_agree_and_both_parts_are_all(drawn):
    events = events_of(drawn)
    with tempfile.TemporaryDirectory() as folder:
        with open_lake(Path(folder), QuickDisk()) as lake:
            lake.append(events, {"test": 1})
        with read_lake(Path(folder)) as view:
            in_lake = judged_calls(view)
            assert [(one.call.event_id, one.call.cost_nanos, one.call.usual_nanos) for one in in_lake] == [
                (one.event_id, one.cost_nanos, one.usual_nanos)
                for one in meter_anomalies([PricedEvent(one, {}) for one in events])
            ]
            for currency in ("USD", "EUR"):
                where = (Condition(dimension="currency", operator="=", value=currency),)
                without = quarantined(view, UsageQuery(where=where))
                included = outcome_cost(view, standing([]), money="list", where=where)
                whole = sum(one.list_cost_nanos or 0 for one in events if one.currency == currency)
                assert included.left_out.call_count == len(without)
                assert included.left_out.amount == sum(one.list_cost_nanos or 0 for one in without)
                assert included.cost.unattributed_nanos + included.left_out.amount == whole


def decision(number, *ids):
    return MeterDecision(
        id=f"cleo-{number}", verdict=Verdict.CONFIRMED, source="litellm", model="haiku", event_ids=ids, list_cost_nanos="1",
        by="Cleo", reason="The invoice says the same.", decided_at=MONDAY + number,
    )  # fmt: skip


def test_a_decision_is_there_whole_or_not_at_all_wherever_its_writer_dies(tmp_path):
    with open_lake(tmp_path) as lake:
        lake.decide(decision(1, "msg-1"))
    outcomes = []
    for steps in range(5):
        try:
            with open_lake(tmp_path, FailingDisk(steps)) as lake:
                lake.decide(decision(2, "msg-2"))
        except Stopped:
            pass
        outcomes.append([one.id for one in read_decisions(tmp_path)])
        if outcomes[-1] == ["cleo-1", "cleo-2"]:
            with open_lake(tmp_path) as lake:
                assert lake.decide(decision(2, "msg-2")).decided_at == MONDAY + 2
    assert outcomes == [["cleo-1"], ["cleo-1"], ["cleo-1"], ["cleo-1", "cleo-2"], ["cleo-1", "cleo-2"]]
