"""Whatever the provider counted: what is booked is proposed no more, no money is lost, and a member pays no more than what was billed.

The provider's truth is made by hand beside the ledger; a model token in costs 3,000 nanos, one out 15,000.
"""

from typing import Any, NamedTuple

from hypothesis import example, given
from hypothesis import strategies as st

from tests.ledger_kit import (
    ADA_LOT,
    START,
    Command,
    Kit,
    Report,
    cost_of,
    dispatched_record,
    evidence_record,
    hold_record,
    lapse_record,
    pack_block,
    settle_record,
)
from tokenroll.books.provider_reports import ALL, Part, Told, Why
from tokenroll.model.usage import METER_INDEX, METERS, Meter
from tokenroll.services.report_comparing import compared, model_names, told_sent
from tokenroll.services.report_reading import KeyNames, Reports
from tokenroll.store.tape import TapeSource
from tokenroll.store.verify import verify

DAY = "2026-01-05"
HELD = 10_000_000
INPUT, OUTPUT = METER_INDEX[Meter.INPUT], METER_INDEX[Meter.OUTPUT]


class Call(NamedTuple):
    """What the provider billed of a call, and what we know of it: all, an estimate, what was seen of a lost one, or nothing."""

    kind: str
    billed: tuple[int, int] | None
    seen: tuple[int, int]


pairs = st.tuples(st.integers(1, 60), st.integers(0, 40))


@st.composite
def calls(draw: st.DrawFn) -> Call:
    kind = draw(st.sampled_from(["reported", "reported", "estimated", "lost", "lost unseen"]))
    billed = draw(pairs)
    if kind == "reported":
        return Call(kind, billed, billed)
    seen = draw(st.sampled_from([(billed[0], 0), (billed[0], billed[1] // 2), draw(pairs)]))
    return Call(kind, draw(st.sampled_from([billed, None])), seen)


class Story:
    """A ledger with these calls on one day, and the provider's sums of them and of what somebody used without us."""

    def __init__(self, made: list[Call], foreign: list[tuple[int, int]], *, counts_requests: bool) -> None:
        self.kit = Kit()
        sequence = 1
        for call in made:
            records = [hold_record(sequence, (ADA_LOT, HELD)), dispatched_record(sequence)]
            if call.kind in {"reported", "estimated"}:
                source = TapeSource.REPORTED if call.kind == "reported" else TapeSource.ESTIMATED
                records.append(settle_record(sequence, *call.seen, source=source))
            else:
                records += [evidence_record(sequence, *call.seen)] if call.kind == "lost" else []
                records.append(lapse_record(sequence))
            self.kit.ledger.report(Report(worker=0, epoch=1, blocks=pack_block(sequence, records)))
            sequence += len(records)
        billed = [call.billed for call in made if call.billed is not None] + foreign
        counts = [0] * len(METERS)
        counts[INPUT], counts[OUTPUT] = sum(one[0] for one in billed), sum(one[1] for one in billed)
        self.told = Told(
            part=Part(DAY, "anthropic", "sonnet", ALL, None), tiers={"standard": counts}, meters=frozenset({INPUT, OUTPUT}),
            request_count=len(billed) if counts_requests else None, cost_nanos=None, currency="USD", row_count=0, step_nanos=1,
        )  # fmt: skip
        self.billed_nanos = cost_of(counts[INPUT], counts[OUTPUT])

    def look(self) -> Any:
        self.kit.connection.rollback()
        reports = Reports(told=[self.told], whole_days={"anthropic": {DAY}})
        (line,) = compared(self.kit.connection, reports, KeyNames([]), model_names(self.kit.connection))
        self.kit.connection.rollback()
        return line

    def book(self, line: Any) -> dict[str, Any]:
        arguments = {"told": [told_sent(line.told)], "true_ups": [one.id for one in line.true_ups]}
        reply = self.kit.ledger.execute(Command(id="cleo", name="reconcile.true_up", arguments=arguments))
        assert reply.result is not None, reply.problem
        return reply.result


@example(made=[Call("lost", None, (1, 0))], foreign=[], counts_requests=True)
@example(made=[Call("reported", (2, 1), (2, 1)), Call("lost unseen", None, (0, 0))], foreign=[], counts_requests=True)
@given(
    made=st.lists(calls(), min_size=1, max_size=6), foreign=st.lists(pairs, max_size=1), counts_requests=st.booleans()
)
def test_what_is_booked_is_proposed_no_more_and_no_money_is_lost(made, foreign, counts_requests):
    story = Story(made, foreign, counts_requests=counts_requests)
    rows = story.kit.rows("SELECT * FROM settlements ORDER BY ledger_seq")
    spent = story.kit.lot(ADA_LOT)[2]
    line = story.look()
    assert all(one.nanos >= 0 for true_up in line.true_ups if true_up.kind is Why.CHECKED for one in true_up.proven)
    if not line.true_ups:
        return
    answer = story.book(line)
    after = story.look()
    assert after.true_ups == ()
    assert after.is_sound
    # all that was open is closed, and with what was booked the ledger is what the provider billed, to the nano
    assert after.ours.cost_nanos + after.ours.booked_nanos == story.billed_nanos
    assert answer["suspense_count"] == 0
    # nobody's settled row is another; the member pays what was settled of lost calls, and no estimate's difference
    assert story.kit.rows("SELECT * FROM settlements ORDER BY ledger_seq")[: len(rows)] == rows
    held, checked, now_spent = story.kit.lot(ADA_LOT)
    assert (held, checked, now_spent) == (0, 0, spent + answer["charged_nanos"])
    assert answer["charged_nanos"] + answer["returned_nanos"] == HELD * answer["settled_count"]
    assert verify(story.kit.connection, START).differences == []


@given(made=st.lists(calls(), min_size=1, max_size=5))
def test_one_lost_call_is_charged_what_was_billed_of_it_or_left_alone(made):
    """Where the report counts requests and nobody else used the key, no reading but the true one is ever proposed."""
    story = Story(made, [], counts_requests=True)
    lost = [call for call in made if call.kind.startswith("lost")]
    for true_up in story.look().true_ups:
        if true_up.kind is Why.CHECKED and len(lost) == 1:
            assert true_up.nanos == (cost_of(*lost[0].billed) if lost[0].billed else 0)
