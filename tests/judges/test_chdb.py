"""The questions of `usage query` on ClickHouse, by chDB over the same Parquet: every answer is DuckDB's, to the nano and in its order.

Each is asked of events, of sums by hour and of sums by day, wherever those know it, as int64 and as decimals of 38 digits.
"""

import random
from pathlib import Path
from typing import Any

import ibis
import pyarrow as pa
import pytest

from tests.judges.other_engine import Engine
from tests.judges.own_environment import EnvironmentUnavailableError
from tests.lake_kit import DAY, HOUR, MONDAY
from tokenroll.model.limits import AMOUNT_NANOS_MAX
from tokenroll.store.lake import LakeView, open_lake
from tokenroll.store.lake_files import table_of
from tokenroll.store.lake_queries import (
    DIMENSIONS,
    MEASURES,
    TIMES,
    UsageQuery,
    answer,
    condition_from_text,
    expression,
)
from tokenroll.store.lake_schema import KINDS

pytestmark = [pytest.mark.judge, pytest.mark.timeout(900)]

CHDB = Engine("chdb", ("chdb==4.4.0",))
ROWS = 200_000
DAYS = 21
MEMBERS = ("Ada", "Bo", "Cleo", "Dev", "Nightly agent", "O'Neil \\ Söhne", 'Zoë "Z"')
DEPARTMENTS = ("Engineering", "Finance", "Außendienst ÖST", "")
MODELS = ("claude-opus", "claude-sonnet", "gpt-5-mini", "Größe-1")
TAGS: tuple[list[str], ...] = (
    [],
    ["draft"],
    ["review", "project=atlas"],
    ["draft", "über=100%", "a_b"],
    ["project=atlas"],
)
"""Also none, several, and what patterns of other languages would take for their own signs."""
TEXTS: dict[str, tuple[str, ...]] = {
    "member": MEMBERS, "department": DEPARTMENTS, "cost_centre": ("100", "200", ""), "project": ("atlas", "blue", ""),
    "answered_model": MODELS, "provider": ("anthropic", "openai"), "key": ("key_1", "key_2", "key_3"), "purpose": ("work", "personal"),
    "billing": ("", "metered", "not billed"), "status": ("ok", "http_503"), "service_tier": ("standard", "batch"),
    "session": tuple(f"s{number}" for number in range(40)), "outcome": ("", "merged-1", "merged-2"),
}  # fmt: skip


def rows(count: int) -> pa.Table:
    """Three weeks of a firm, in which an amount may be missing, nought or a credit."""
    drawn = random.Random(11)
    columns: dict[str, list[Any]] = {name: drawn.choices(values, k=count) for name, values in TEXTS.items()}
    columns |= {
        "source": drawn.choices(("gateway", "claude-code"), k=count),
        "event_id": [f"e{number}" for number in range(count)],
        "admitted_at": [MONDAY + drawn.randrange(DAYS * DAY) for _ in range(count)],
        "requested_model": ["asked"] * count,
        "tags": drawn.choices(TAGS, k=count),
        "input_tokens": [drawn.choice((None, drawn.randrange(200_000))) for _ in range(count)],
        "output_tokens": [drawn.randrange(5_000) for _ in range(count)],
        "cache_read_tokens": [drawn.choice((None, 0, 1_024)) for _ in range(count)],
        "list_cost_nanos": [drawn.choice((None, drawn.randrange(10**10))) for _ in range(count)],
        "net_cost_nanos": [drawn.randrange(-(10**8), 10**10) for _ in range(count)],
        "billed_cost_nanos": [None] * count,
        "charge_nanos": [drawn.randrange(10**10) for _ in range(count)],
    }
    return pa.table(
        {
            name: pa.array(values) if name != "billed_cost_nanos" else pa.nulls(count, pa.int64())
            for name, values in columns.items()
        }
    )


@pytest.fixture(scope="module", autouse=True)
def engine() -> None:
    try:
        CHDB.prepare()
    except EnvironmentUnavailableError as error:
        pytest.skip(f"chDB cannot be had here: {error}")


@pytest.fixture(scope="module")
def view(tmp_path_factory: pytest.TempPathFactory) -> LakeView:
    home = tmp_path_factory.mktemp("lake")
    with open_lake(home) as lake:
        lake.append(rows(ROWS), {})
        lake.roll_up()
    return LakeView(home)


def query(
    by: str = "", where: tuple[str, ...] = (), measures: str = "calls,model_tokens,list,net,billed,charge", **more: Any
) -> UsageQuery:
    return UsageQuery(
        by=tuple(one for one in by.split(",") if one), where=tuple(condition_from_text(one) for one in where),
        measures=tuple(measures.split(",")), **more,
    )  # fmt: skip


def statement(asked: UsageQuery, kind: str, *, fits: bool) -> str:
    return str(ibis.to_sql(expression(asked, table_of(kind), kind=kind, fits=fits), dialect="clickhouse"))


def differences(
    view: LakeView,
    questions: list[UsageQuery],
    scratch: Path,
    fitting: tuple[bool, ...] = (True,),
) -> list[str]:
    """How many statements were asked, first, and each whose answer is not DuckDB's. `fitting`: as int64, as decimals, or both."""
    asked = [
        (one, kind, statement(one, kind, fits=fits))
        for one in questions for kind in KINDS if one.known_to(kind) for fits in fitting
    ]  # fmt: skip
    files = {kind: [view.directory / one.path for one in view.manifest.of_kind(kind)] for kind in KINDS}
    told = CHDB.answers(files, [sql for _, _, sql in asked], scratch)
    wanted = {(one, kind): answer(view, one, kinds=(kind,)) for one, kind, _ in asked}
    assert all(found.kind == kind for (_, kind), found in wanted.items())
    wrong = [
        f"{kind}: {sql[-400:]}\n  {found[:3]} in place of {wanted[one, kind].rows(0, 3)}"
        for (one, kind, sql), found in zip(asked, told, strict=True)
        if exactly(found) != exactly(wanted[one, kind].rows())
    ]
    return [f"{len(asked)} asked", *wrong]


def exactly(found: list[dict[str, Any]]) -> list[list[tuple[str, type, Any]]]:
    """With types, because 1.0 equals 1 and a sum of money that went through a float is wrong."""
    return [[(name, type(value), value) for name, value in row.items()] for row in found]


def test_every_dimension_with_every_measure(view: LakeView, tmp_path: Path):
    questions = [query(one, measures=",".join(MEASURES)) for one in ("", *DIMENSIONS)]
    assert differences(view, questions, tmp_path, (True, False)) == ["110 asked"]


def test_every_dimension_by_member_department_and_month(view: LakeView, tmp_path: Path):
    questions = [
        query(f"{one},{other}", measures="calls,list", order=("-list",), limit=100)
        for other in ("member", "department", "month")
        for one in DIMENSIONS
        if one != other
    ]
    assert differences(view, questions, tmp_path) == ["134 asked"]


PERIODS: list[dict[str, Any]] = [
    {"from_at": MONDAY + DAY, "until": MONDAY + 9 * DAY},
    {"from_at": MONDAY + 5 * HOUR},
    {"until": MONDAY + 30 * HOUR + 1},
]


def test_every_condition_and_period(view: LakeView, tmp_path: Path):
    """By each dimension that a condition can name: is, is one of two, is not, has a part of it; and of no, some and odd parts of days."""
    values = {
        **TEXTS,
        "model": MODELS,
        "source": ("gateway", "claude-code"),
        "currency": ("USD",),
        "tag": ("draft", "über=100%", "a_b", ""),
    }
    asked: list[tuple[str, ...]] = []
    for dimension in [one for one in DIMENSIONS if one not in TIMES]:
        value = values[dimension][-1]
        asked += [
            (f"{dimension}={value}",),
            (f"{dimension}!={value}",),
            (f"{dimension}~{values[dimension][0].upper()}",),
        ]
        asked.append((f"{dimension}={values[dimension][0]}", f"{dimension}={values[dimension][-1]}"))
    asked += [
        ("department~öst",),
        ("department~DIENST ö",),
        ("model~größe",),
        ("model~",),
        ("tag~ÜBER=100%",),
        ("member~o'neil \\ s",),
        ("tag!=draft", "member!=Bo", "model~claude"),
    ]
    questions = [query(where=one, measures="calls,list") for one in asked]
    questions += [query("department,day", **period) for period in PERIODS]
    questions += [query("tag,month", order=("-charge", "month"), limit=7, **period) for period in PERIODS]
    assert differences(view, questions, tmp_path) == ["193 asked"]


def test_sums_wider_than_int64(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path):
    home = tmp_path_factory.mktemp("wide")
    with open_lake(home) as lake:
        whole = rows(100)
        place = whole.schema.get_field_index("net_cost_nanos")
        lake.append(whole.set_column(place, "net_cost_nanos", pa.array([AMOUNT_NANOS_MAX] * 100)), {})
        lake.roll_up()
    view = LakeView(home)
    assert answer(view, query(measures="net")).rows() == [{"net_cost_nanos": 100 * AMOUNT_NANOS_MAX}]
    questions = [query(one, measures="calls,net") for one in ("", "member", "department", "tag", "month")]
    assert differences(view, questions, tmp_path, (False,)) == ["13 asked"]
