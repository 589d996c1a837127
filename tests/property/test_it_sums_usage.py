"""Whatever is called, however it is rolled up, and however it is asked: the sums of a report are the charges of the ledger."""

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.firm import CREDIT, DAY, HOUR, JANUARY, Firm
from tokenroll.services.usage_reports import Dimension, UsageQuestion
from tokenroll.store.verify import verify

MINUTE = HOUR // 60
EXAMPLES = settings().max_examples // 5
"""Each has a ledger of its own."""
PEOPLE = ("Ada", "Bo", "Nightly agent")
WIDTHS = {60: MINUTE, 3_600: HOUR, 86_400: DAY}
CALLS = st.lists(
    st.tuples(
        st.sampled_from(PEOPLE),
        st.integers(0, 3 * 1_440 - 1),  # the minute in which it begins
        st.integers(0, 10**12),  # what it costs in nanos
        st.booleans(),  # settled, or released
        st.integers(0, 3),  # how many settlements are rolled up after it
    ),
    max_size=12,
)
GROUPS = st.lists(st.sampled_from(Dimension), unique=True, max_size=3).map(tuple)


def staffed() -> tuple[Firm, dict[str, int]]:
    """A firm whose people have a key each, and the numbers of these."""
    firm = Firm()
    firm.do("ratecard.import", providers=["openai"], models=["gpt-5-mini"])
    firm.do("plan.create", name="tools", kind="stipend", classification="tool", amount_nanos=100_000 * CREDIT)
    firm.do("department.create", name="Finance")
    keys = {}
    for number, name in enumerate(PEOPLE, 1):
        firm.hire(name)
        firm.do("grant.create", to=name, plan="tools")
        firm.do(
            "key.create", member=name, name=f"key {number}", scope="inference", secret_hash=f"{number:064x}", shown_prefix="tr-…",
        )  # fmt: skip
        keys[name] = firm.connection.exec_driver_sql("SELECT max(id) FROM api_keys").scalar_one()
    return firm, keys


@settings(max_examples=EXAMPLES)
@given(calls=CALLS, width=st.sampled_from(sorted(WIDTHS)), groups=GROUPS, first=st.integers(0, 2 * 1_440))
def test_sums_are_the_charges_of_the_ledger(calls, width, groups, first):
    firm, keys = staffed()
    span = WIDTHS[width]
    from_at = (JANUARY + first * MINUTE) // span * span
    wanted: Counter[int] = Counter()
    for name, minute, nanos, is_settled, steps in sorted(calls, key=lambda one: one[1]):
        at = firm.now = JANUARY + minute * MINUTE
        sequence = firm.hold(name, (firm.lot_ids(name)[0], max(nanos, 1)), key=keys[name])
        firm.settle(sequence, nanos) if is_settled else firm.release(sequence)
        if is_settled and from_at <= at // span * span:
            wanted[at // span * span] += nanos
        if steps:
            firm.ledger.roll_up_usage(steps)
    firm.now = JANUARY + 3 * DAY
    firm.do("member.change", member="Bo", department="Finance", on="2026-01-03")
    question = UsageQuestion(
        from_at=from_at, until=JANUARY + 3 * DAY, width_seconds=width, dialects=frozenset({0}), group_by=groups
    )
    buckets = list(firm.reports.usage(question).buckets())
    assert [one.start_at for one in buckets] == list(range(from_at, JANUARY + 3 * DAY, span))
    found = {one.start_at: sum(usage.charge_nanos for _, usage in one.groups) for one in buckets}
    assert +Counter(found) == +wanted
    for bucket in buckets:
        for _, usage in bucket.groups:
            assert usage.charge_nanos == sum(part[3] for part in usage.flat()) + usage.unexplained_nanos
    while firm.ledger.roll_up_usage(2):
        pass
    assert [one.groups for one in seen(firm, question)] == [one.groups for one in seen_of(buckets)]
    differing = {one.kind for one in verify(firm.connection, firm.now).differences}
    assert differing <= {"charge"}  # the firm's calls make their charges up


def seen(firm: Firm, question: UsageQuestion):
    return seen_of(firm.reports.usage(question).buckets())


def seen_of(buckets):
    """The buckets with sums that can be compared."""
    return [
        one._replace(groups=[(group, usage.call_count, tuple(usage.flat())) for group, usage in one.groups])
        for one in buckets
    ]
