"""Questions to the lake: the same answer from events and sums, on two engines, and as SQL for a third."""

from pathlib import Path

import ibis
import pytest

from tests.lake_kit import DAY, HOUR, MONDAY, event
from tokenroll.model.usage import Usage
from tokenroll.store.lake import LakeView, open_lake
from tokenroll.store.lake_files import table_of
from tokenroll.store.lake_queries import (
    MEASURES,
    Condition,
    QuestionError,
    UsageQuery,
    answer,
    condition_from_text,
    expression,
)
from tokenroll.store.lake_schema import DAILY, KINDS, ROLLUP, USAGE

GOLDEN = Path(__file__).parent / "data" / "lake_clickhouse.sql"


@pytest.fixture(scope="module")
def view(tmp_path_factory):
    """Ada's drafts with sonnet, Bo's reviews with opus in Finance, and the Nightly agent's failures, over three weeks."""
    home = tmp_path_factory.mktemp("asked")
    rows = [
        event(
            number,
            MONDAY + number * 19 * HOUR,
            tags=("draft", "project=atlas"),
            project="atlas",
            session=f"s{number % 3}",
        )
        for number in range(9)
    ]
    rows += [
        event(
            100 + number, MONDAY + number * 50 * HOUR, member="Bo", department="Finance", answered_model="claude-opus",
            usage=Usage(input_tokens=7, cache_read_tokens=90), list_cost_nanos=5, charge_nanos=3, tags=("review",),
        )
        for number in range(9)
    ]  # fmt: skip
    rows += [
        event(200, MONDAY + 20 * DAY, member="Nightly agent", status="http_503", usage=Usage(), list_cost_nanos=None)
    ]
    with open_lake(home) as lake:
        lake.append(rows[::2], {})
        lake.append(rows[1::2], {})
        lake.roll_up()
    return LakeView(home)


def asked(view, by="", where=(), measures="calls,model_tokens,list,charge", **changes):
    query = UsageQuery(
        by=tuple(one for one in by.split(",") if one), where=tuple(condition_from_text(one) for one in where),
        measures=tuple(measures.split(",")), **changes,
    )  # fmt: skip
    return answer(view, query)


def test_who_used_what(view):
    found = asked(view, "member,model")
    assert found.kind == ROLLUP
    assert found.currency == "USD"
    assert found.rows() == [
        {"member": "Ada", "model": "sonnet", "call_count": 9, "model_tokens": 1_080, "list_cost_nanos": 9_000, "charge_nanos": None},
        {"member": "Bo", "model": "claude-opus", "call_count": 9, "model_tokens": 873, "list_cost_nanos": 45, "charge_nanos": 27},
        {"member": "Nightly agent", "model": "sonnet", "call_count": 1, "model_tokens": 0, "list_cost_nanos": None, "charge_nanos": None},
    ]  # fmt: skip


def test_questions_of_the_company_are_answered_by_the_sums_of_days(view):
    found = asked(view, "department", measures="calls,list")
    assert (found.kind, found.rows()) == (
        DAILY,
        [
            {"department": "Engineering", "call_count": 10, "list_cost_nanos": 9_000},
            {"department": "Finance", "call_count": 9, "list_cost_nanos": 45},
        ],
    )


def test_an_event_with_two_tags_counts_under_each_and_one_without_under_none(view):
    assert [(row["tag"], row["call_count"]) for row in asked(view, "tag").rows()] == [
        ("", 1), ("draft", 9), ("project=atlas", 9), ("review", 9),
    ]  # fmt: skip


def test_weeks_begin_on_monday_and_periods_end_before_their_end(view):
    assert [(row["week"], row["call_count"]) for row in asked(view, "week", measures="calls").rows()] == [
        ("2026-01-05", 13), ("2026-01-12", 3), ("2026-01-19", 3),
    ]  # fmt: skip
    period = {"from_at": MONDAY + DAY, "until": MONDAY + 2 * DAY}
    assert asked(view, "hour", measures="calls", **period).rows() == [{"hour_at": MONDAY + 38 * HOUR, "call_count": 1}]
    assert asked(view, measures="calls", from_at=MONDAY + 2 * DAY + 1, until=MONDAY + 50 * HOUR).rows() == [
        {"call_count": 0}
    ]


@pytest.mark.parametrize(
    ("where", "calls"),
    [
        (["member=Ada"], 9),
        (["member=Ada", "member=Bo"], 18),
        (["member!=Ada"], 10),
        (["model~OPUS"], 9),
        (["model~OP.S"], 0),
        (["model~"], 19),
        (["tag~"], 19),
        (["tag=draft"], 9),
        (["tag!=draft"], 10),
        (["tag="], 1),
        (["tag~atlas"], 9),
        (["status!=ok", "department=Engineering"], 1),
        (["session=s1"], 3),
        (["member=Cleo"], 0),
    ],
)
def test_conditions_hold_together_and_equals_of_one_dimension_mean_any(view, where, calls):
    assert asked(view, where=where, measures="calls").rows() == [{"call_count": calls}]


def test_what_the_sums_do_not_know_is_answered_by_events(view):
    found = asked(view, "session", measures="calls", order=("-calls",), limit=2)
    assert found.kind == USAGE
    assert found.rows() == [{"session": "", "call_count": 10}, {"session": "s0", "call_count": 3}]
    assert asked(view, from_at=MONDAY + 1).kind == USAGE
    assert asked(view, "department", from_at=MONDAY + HOUR).kind == ROLLUP
    assert asked(view, "department,week", from_at=MONDAY + DAY).kind == DAILY


QUESTIONS = [
    UsageQuery(by=("member", "day"), measures=("model_tokens", "list")),
    UsageQuery(by=("tag", "week"), measures=tuple(MEASURES), where=(Condition(dimension="model", operator="~", value="SON"),)),
    UsageQuery(by=("department", "month", "hour"), order=("-list",), limit=5, where=(Condition(dimension="tag", operator="!=", value="review"),)),
    UsageQuery(measures=("calls", "charge", "audio_second"), where=(Condition(dimension="tag", operator="=", value=""),)),
    UsageQuery(by=("member",), where=(Condition(dimension="model", operator="~", value=""), Condition(dimension="tag", operator="~", value=""))),
    UsageQuery(by=("purpose", "currency", "billing"), from_at=MONDAY + DAY, until=MONDAY + 9 * DAY),
]  # fmt: skip


@pytest.mark.parametrize("query", QUESTIONS, ids=lambda query: "-".join(query.by) or "all")
def test_sums_events_and_another_engine_say_the_same(view, query):
    wanted = answer(view, query).rows()
    assert answer(view, query, kinds=(USAGE,)).rows() == wanted
    for kind in [one for one in KINDS if query.known_to(one)]:
        assert answer(view, query, kinds=(kind,)).rows() == wanted
        for fits in (True, False):
            polars = ibis.polars.connect()
            rows = polars.read_parquet([view.directory / one.path for one in view.manifest.of_kind(kind)])
            found = polars.to_pyarrow(expression(query, rows, kind=kind, fits=fits)).to_pylist()
            assert [{name: plain(value) for name, value in row.items()} for row in found] == wanted


def plain(value):
    if value is None or isinstance(value, str):
        return value
    return value.isoformat() if hasattr(value, "isoformat") else int(value)


def clickhouse_statements():
    """Our questions as ClickHouse is asked them."""
    statements = []
    for query in QUESTIONS:
        for kind, fits in ((ROLLUP, True), (USAGE, False), (DAILY, True)):
            if not query.known_to(kind):
                continue
            asked = expression(query, table_of(kind), kind=kind, fits=fits)
            statements.append(str(ibis.to_sql(asked, dialect="clickhouse")))
    return ";\n\n".join(statements) + ";\n"


def test_clickhouse_is_asked_the_same():
    assert clickhouse_statements() == GOLDEN.read_text()


def test_an_empty_lake_answers_nothing(tmp_path):
    nothing = LakeView(tmp_path / "none")
    assert asked(nothing, "member").rows() == []
    assert asked(nothing, measures="calls,list").rows() == [{"call_count": 0, "list_cost_nanos": None}]


def test_costs_of_two_currencies_are_never_added(tmp_path):
    with open_lake(tmp_path) as lake:
        lake.append([event(1), event(2, currency="EUR")], {})
    both = LakeView(tmp_path)
    with pytest.raises(QuestionError, match="these costs are in EUR, USD: ask by currency, or where currency=EUR"):
        asked(both, "member")
    assert asked(both, "currency", measures="list").rows() == [
        {"currency": "EUR", "list_cost_nanos": 1_000}, {"currency": "USD", "list_cost_nanos": 1_000},
    ]  # fmt: skip
    assert asked(both, where=["currency=EUR"], measures="list").currency == "EUR"
    assert asked(both, measures="calls,charge").rows() == [{"call_count": 2, "charge_nanos": None}]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"by": ("colour",)}, "there is no dimension 'colour': there are member, department"),
        ({"by": ("day", "day")}, "a dimension stands twice in day, day"),
        ({"measures": ("joy",)}, "there is no measure 'joy': there are calls, input"),
        ({"measures": ()}, "a question has a measure"),
        ({"order": ("-charge",)}, "there is no column to order by 'charge': there are calls, model_tokens, list"),
        (
            {"where": (Condition(dimension="day", operator="=", value="x"),)},
            "there is no dimension of a condition 'day'",
        ),
        ({"limit": 0}, "a limit is 1 to 2000000 rows"),
        ({"from_at": 5, "until": 5}, "the period ends before it begins"),
        (
            {"where": (Condition(dimension="member", operator="=", value="x"),) * 1_001},
            "at most 1000 conditions, not 1001",
        ),
    ],
)
def test_what_cannot_be_asked_is_said_with_what_can(changes, says):
    with pytest.raises(QuestionError, match=says):
        UsageQuery(**changes)


def test_a_condition_is_written_as_people_write_it():
    assert condition_from_text("tag=project=atlas") == Condition(dimension="tag", operator="=", value="project=atlas")
    assert condition_from_text("member != Ada") == Condition(dimension="member", operator="!=", value="Ada")
    with pytest.raises(QuestionError, match="'Ada' is no condition: write member=Ada"):
        condition_from_text("Ada")
