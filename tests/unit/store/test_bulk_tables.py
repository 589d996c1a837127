"""Large tables, read column by column: what comes into the lake, what is named as bad, and where the next import goes on."""

import gzip
import random
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
import zstandard

from tokenroll.model.usage import Usage
from tokenroll.model.usage_event import UsageEvent
from tokenroll.services.importers.attribution import attribution_from_toml
from tokenroll.services.importers.bulk_attribution import attributed
from tokenroll.services.importers.bulk_tables import bulk_tables, slices_ahead
from tokenroll.services.importers.columns import ColumnMap, column_events
from tokenroll.services.importers.figures import Seen
from tokenroll.services.importers.intake import BadRow, Intake, SourceError
from tokenroll.services.importers.parquet_tables import is_parquet
from tokenroll.services.list_prices import published_list_prices
from tokenroll.store.lake import open_lake
from tokenroll.store.lake_schema import COLUMNS, checked_rows, rows_of_events

pa = pytest.importorskip("pyarrow", reason="the lake's libraries are not installed")
pq = pytest.importorskip("pyarrow.parquet", reason="the lake's libraries are not installed")

HEADER = "time,model,member,input_tokens,output_tokens,cost\n"
MONDAY = 1_767_571_200_000_000


def line(number, at="2026-01-05T00:00:00Z", **changes):
    cells = {
        "time": at,
        "model": "gpt-4o",
        "member": f"member-{number % 3}",
        "into": str(number),
        "out": "7",
        "cost": "0.25",
    } | changes
    return ",".join(cells.values()) + "\n"


@pytest.fixture(scope="module")
def prices():
    return published_list_prices()


@pytest.fixture
def read(prices):
    def reading(path, **options):
        intake = Intake()
        return list(bulk_tables(path, "ada", prices, intake, **options)), intake

    return reading


@pytest.fixture
def row_by_row(prices):
    def reading(path, **options):
        intake = Intake()
        return list(column_events(path, "ada", prices, intake, **options)), intake

    return reading


def listed(slices):
    return [row for one in slices for row in checked_rows(one.rows).to_pylist()]


def test_a_table_comes_in_slices_that_say_how_far_they_are(tmp_path, read, row_by_row):
    path = tmp_path / "usage.csv"
    path.write_text(HEADER + "".join(line(number) for number in range(10)))
    slices, intake = read(path, slice_rows=4)
    assert [one.row_count_through for one in slices] == [4, 8, 10]
    assert [one.rows.num_rows for one in slices] == [4, 4, 2]
    assert listed(slices) == rows_of_events(row_by_row(path)[0]).to_pylist()
    assert (intake.row_count, intake.event_count, intake.bad_count) == (10, 10, 0)


@pytest.mark.parametrize("name", ["usage.csv", "usage.csv.gz", "usage.csv.zst", "usage.tsv"])
def test_packed_and_tabbed_tables_are_the_same(tmp_path, read, name):
    text = HEADER + "".join(line(number) for number in range(5))
    data = (text.replace(",", "\t") if name.endswith("tsv") else text).encode()
    packed = {"gz": gzip.compress, "zst": zstandard.ZstdCompressor().compress}.get(name.rpartition(".")[2], bytes)(data)
    path = tmp_path / name
    path.write_bytes(packed)
    slices, _ = read(path)
    assert [row["input_tokens"] for row in listed(slices)] == [0, 1, 2, 3, 4]
    assert {row["billed_cost_nanos"] for row in listed(slices)} == {250_000_000}


def test_an_import_goes_on_where_the_lake_s_mark_says(tmp_path, read):
    path = tmp_path / "usage.csv"
    path.write_text(HEADER + "".join(line(number, into="x" if number == 3 else str(number)) for number in range(10)))
    slices, _ = read(path, slice_rows=4)
    with open_lake(tmp_path / "lake") as lake:
        lake.append(slices[0].rows, {"usage.csv": slices[0].row_count_through})
    with open_lake(tmp_path / "lake") as lake:
        rest, intake = read(path, skip_rows=lake.marks["usage.csv"])
        assert lake.append(rest[0].rows, {"usage.csv": rest[0].row_count_through}) == 6
    assert [row["event_id"] for row in listed(rest)] == [row["event_id"] for row in listed(slices[1:])]
    assert (intake.row_count, intake.bad_count) == (6, 0)


def test_bad_rows_are_named_by_line_and_reason_as_row_by_row(tmp_path, read, row_by_row):
    path = tmp_path / "usage.csv"
    path.write_text(
        HEADER
        + line(1)
        + line(2, at="soon")
        + "a,b\n"
        + line(3, into="-5")
        + "\n"
        + line(4, cost="1,5")
        + line(5, into="6.0")
    )
    slices, intake = read(path)
    assert intake.bad_rows == row_by_row(path)[1].bad_rows
    assert [bad.line for bad in intake.bad_rows] == [3, 4, 5, 7]
    assert intake.bad_rows[1] == BadRow(str(path), 4, "2 columns where the header has 6")
    assert [row["input_tokens"] for row in listed(slices)] == [1, 6]


def test_a_quoted_cell_may_go_on_in_the_next_block(tmp_path, read, row_by_row, monkeypatch):
    monkeypatch.setattr("tokenroll.services.importers.bulk_cells.IMPORT_BLOCK_BYTES", 100)
    path = tmp_path / "usage.csv"
    rows = [line(number, member='"two\nlines, ""quoted"""' if number % 4 == 0 else "bo") for number in range(20)]
    path.write_text(HEADER + "".join(rows))
    slices, intake = read(path)
    events, counted = row_by_row(path)
    assert listed(slices) == rows_of_events(events).to_pylist()
    assert intake.bad_rows == counted.bad_rows == []


@pytest.mark.parametrize("block_bytes", [5_000, 8 * 1024 * 1024])
@pytest.mark.parametrize("whole_bytes", [40, 9_000])
def test_a_torn_file_gives_what_is_whole(tmp_path, read, row_by_row, monkeypatch, block_bytes, whole_bytes):
    monkeypatch.setattr("tokenroll.services.importers.bulk_cells.IMPORT_BLOCK_BYTES", block_bytes)
    path = tmp_path / "usage.csv.gz"
    text = HEADER + "".join(line(number * number) for number in range(5_000))
    path.write_bytes(gzip.compress(text.encode())[:whole_bytes])
    slices, intake = read(path)
    events, counted = row_by_row(path)
    assert listed(slices) == rows_of_events(events).to_pylist()
    assert intake.bad_rows == counted.bad_rows
    assert "the file is not whole" in intake.bad_rows[0].reason


def test_repeats_of_named_calls_count_once_across_slices(tmp_path, read, row_by_row):
    path = tmp_path / "usage.csv"
    path.write_text("id," + HEADER + "".join(f"call-{number % 4}," + line(number) for number in range(10)))
    slices, intake = read(path, slice_rows=3)
    assert [row["event_id"] for row in listed(slices)] == ["call-0", "call-1", "call-2", "call-3"]
    assert intake.repeat_count == row_by_row(path)[1].repeat_count == 6
    rest, later = read(path, slice_rows=3, skip_rows=3)
    assert [row["event_id"] for row in listed(rest)] == ["call-3"]
    assert (later.repeat_count, later.row_count) == (6, 7)


@pytest.mark.parametrize("most", [0, 2, 5, 100])
def test_ids_asked_together_are_known_as_one_by_one(most):
    idents = [str(number * number % 7) for number in range(40)] + [str(number) for number in range(30)]
    together, alone = Seen(most), Seen(most)
    found = together.unseen(idents[:33]) + together.unseen(idents[33:])
    assert found == [not alone.has(one) for one in idents]


def test_long_contexts_and_sums_too_wide_for_a_machine_word_are_priced_exactly(tmp_path, read, row_by_row):
    path = tmp_path / "usage.csv"
    rows = [line(1, model="claude-sonnet-4-20250514", into=str(into), out="10") for into in (199_999, 200_000, 200_001)]
    rows += [line(1, model="gpt-4o", into="999999999999", out="999999999999")]
    path.write_text(HEADER + "".join(rows))
    slices, _ = read(path)
    assert listed(slices) == rows_of_events(row_by_row(path)[0]).to_pylist()
    costs = [row["list_cost_nanos"] for row in listed(slices)]
    assert costs[2] > costs[1] > costs[0] > 0


def parquet(path, **columns):
    count = len(next(iter(columns.values())))
    facts = {"model": ["gpt-4o"] * count, "input_tokens": list(range(count)), "output_tokens": [7] * count}
    pq.write_table(pa.table(facts | columns), path)
    return path


def test_parquet_knows_its_times_and_numbers(tmp_path, read):
    moments = [datetime(2026, 1, 5, 8, tzinfo=UTC), datetime(2026, 1, 5, 9, tzinfo=UTC)]
    path = parquet(
        tmp_path / "usage.parquet",
        time=pa.array(moments, pa.timestamp("ns", "UTC")),
        cost=[Decimal("0.000000125"), None],
        user=pa.array(["ada", None]).dictionary_encode(),
    )
    assert is_parquet(path)
    slices, intake = read(path)
    first, second = listed(slices)
    assert (first["admitted_at"], first["billed_cost_nanos"], first["member"]) == (
        MONDAY + 8 * 3_600_000_000,
        125,
        "ada",
    )
    assert (second["billed_cost_nanos"], second["member"]) == (None, "ada")
    assert (intake.row_count, intake.event_count) == (2, 2)


def test_parquet_s_floats_are_the_decimals_that_they_are_written_as(tmp_path, read):
    path = parquet(
        tmp_path / "usage.parquet",
        time=["2026-01-05T08:00:00Z"] * 4,
        cost=[0.1, 1e-07, 12.0, None],
        input_tokens=[1.0, None, 3.0, 4.0],
    )
    rows = listed(read(path)[0])
    assert [row["billed_cost_nanos"] for row in rows] == [100_000_000, 100, 12_000_000_000, None]
    assert [row["input_tokens"] for row in rows] == [1, None, 3, 4]


def test_parquet_s_bad_rows_are_named_by_their_number(tmp_path, read):
    path = parquet(
        tmp_path / "usage.parquet",
        time=pa.array([MONDAY, None, MONDAY, MONDAY], pa.timestamp("us", "UTC")),
        input_tokens=[1, 2, -3, 4],
    )
    slices, intake = read(path, slice_rows=3)
    assert [(bad.line, bad.reason[:12]) for bad in intake.bad_rows] == [(2, "its time is "), (3, "'-3' is no c")]
    assert [row["input_tokens"] for row in listed(slices)] == [1, 4]
    assert [row["event_id"].partition(":")[2] for row in listed(slices)] == ["1", "4"]
    assert listed(read(path, skip_rows=3)[0]) == listed(slices)[1:]


def test_parquet_s_times_of_no_year_are_bad_rows(tmp_path, read):
    times = [MONDAY, 2**62, -1, MONDAY, MONDAY]
    ends = [MONDAY + 1, MONDAY, MONDAY, None, 2**62]
    for kind in (pa.timestamp("us", "Europe/Berlin"), pa.timestamp("us", "UTC")):
        path = parquet(tmp_path / "usage.parquet", time=pa.array(times, kind), ended_at=pa.array(ends, kind))
        slices, intake = read(path)
        assert [bad.line for bad in intake.bad_rows] == [2, 3] + [5] * (intake.bad_count - 2)
        assert [row["ended_at"] for row in listed(slices)][:2] == [MONDAY + 1, None]


def test_parquet_s_columns_of_any_plain_kind_are_cells(tmp_path, read):
    path = parquet(
        tmp_path / "usage.parquet",
        time=["2026-01-05T08:00:00Z"] * 3,
        input_tokens=pa.array([1, None, 2**63], pa.uint64()),
        project=pa.array(["p", None, "p"], pa.large_string()),
        user=pa.array([7, 8, None], pa.int16()),
        session=pa.array([b"s", None, b"t"], pa.binary()),
        status=pa.array([True, False, None]),
        team=pa.nulls(3),
        cost=pa.array([Decimal("1E+3"), Decimal("0.5"), None], pa.decimal128(20, 12)),
    )
    slices, intake = read(path)
    rows = listed(slices)
    assert [(row["member"], row["project"], row["session"], row["status"]) for row in rows] == [
        ("7", "p", "s", "ok"),
        ("8", "", "", "failed"),
    ]
    assert [row["billed_cost_nanos"] for row in rows] == [10**12, 5 * 10**8]
    assert [bad.line for bad in intake.bad_rows] == [3]


def test_parquet_s_local_times_need_a_zone(tmp_path, read):
    path = parquet(tmp_path / "usage.parquet", time=pa.array([date(2026, 1, 5)]))
    slices, intake = read(path)
    assert listed(slices) == []
    assert "no time zone" in intake.bad_rows[0].reason
    told = ColumnMap(columns={"time": "time", "input_tokens": "input_tokens"}, zone=UTC)
    assert listed(read(path, column_map=told)[0])[0]["admitted_at"] == MONDAY


def test_what_is_no_table_is_refused_with_its_reason(tmp_path, read):
    nested = parquet(tmp_path / "nested.parquet", time=[["2026-01-05T08:00:00Z"]])
    with pytest.raises(SourceError, match="holds list"):
        read(nested)
    torn = tmp_path / "torn.parquet"
    torn.write_bytes(nested.read_bytes()[:60])
    with pytest.raises(SourceError, match="cannot be read"):
        read(torn)
    with pytest.raises(SourceError, match="cannot be read"):
        read(tmp_path / "nothing.csv")
    other = tmp_path / "other.csv"
    other.write_text("a,b\n1,2\n")
    with pytest.raises(SourceError, match="name them in a mapping file"):
        read(other)
    with pytest.raises(ValueError, match="a slice has 1 to 1000000 rows, not 0"):
        read(other, slice_rows=0)


def test_slices_are_read_ahead_in_their_order(tmp_path, read, prices):
    path = tmp_path / "usage.csv"
    path.write_text(HEADER + "".join(line(number) for number in range(10)))
    ahead = list(slices_ahead(bulk_tables(path, "ada", prices, Intake(), slice_rows=3)))
    assert listed(ahead) == listed(read(path, slice_rows=3)[0])


RULES = """
[[rule]]
when = { member = "member-1*", model = "gpt*" }
set = { member = "Ada", department = "Research" }

[[rule]]
when = { tag = "night" }
set = { cost_centre = "CC-7" }

[[rule]]
when = { source = "c*" }
set = { project = "Rest" }
"""


def test_rules_attribute_a_slice_as_they_do_each_event(tmp_path, read, row_by_row):
    rules = attribution_from_toml(RULES)
    path = tmp_path / "usage.csv"
    path.write_text(HEADER + "".join(line(number) for number in range(7)))
    for tags in ((), ("night",)):
        told = ColumnMap(
            columns={"time": "time", "model": "model", "member": "member", "input_tokens": "input_tokens"}, tags=tags
        )
        (one,) = read(path, column_map=told)[0]
        events = [rules.applied(event) for event in row_by_row(path, column_map=told)[0]]
        assert checked_rows(attributed(one.rows, rules)).to_pylist() == rows_of_events(events).to_pylist()


def test_rules_attribute_events_of_any_source():
    rules = attribution_from_toml(RULES)
    usage = Usage(input_tokens=1)
    events = [
        UsageEvent(
            source=source, event_id=f"{number}", admitted_at=MONDAY, provider="p", requested_model="gpt-4o", usage=usage,
            member=f"member-{number}", tags=tags, project="old",
        )
        for number, (source, tags) in enumerate([("a", ()), ("b", ("day", "night")), ("codex", ("night",)), ("codex", ()), ("a", ())])
    ]  # fmt: skip
    rows = rows_of_events(events).select(COLUMNS)
    applied = rows_of_events([rules.applied(event) for event in events])
    assert checked_rows(attributed(rows, rules)).to_pylist() == applied.to_pylist()
    assert attributed(rows, attribution_from_toml(RULES.replace("source", "key"))).num_rows == 5


def test_answers_out_of_a_cache_are_those_of_row_by_row(tmp_path, read, row_by_row):
    path = tmp_path / "spend.csv"
    head = "request_id,spend,prompt_tokens,completion_tokens,startTime,model,custom_llm_provider,cache_hit\n"
    rows = "".join(
        f"r{n},0,1000,50,2026-02-03 08:00:00,gpt-4o-mini,openai,{hit}\n"
        for n, hit in enumerate(("True", "False", "None", ""))
    )
    path.write_text(head + rows)
    slices, _ = read(path)
    assert listed(slices) == rows_of_events(row_by_row(path)[0]).to_pylist()
    assert [row["tags"] for row in listed(slices)] == [["cache-hit"], [], [], []]


@pytest.mark.parametrize(
    ("text", "micros"),
    [("08:00:01Z", 28_801_000_000), ("08:00:01.250Z", 28_801_250_000), ("08:00:01.000007Z", 28_801_000_007)],
)
def test_times_that_all_are_universal_are_read_as_one_column(tmp_path, read, text, micros):
    path = tmp_path / "usage.csv"
    path.write_text(HEADER + "".join(line(number, at=f"2026-01-05T{text}") for number in range(3)))
    (one,), _ = read(path)
    assert one.rows.column("admitted_at").to_pylist() == [MONDAY + micros] * 3


@pytest.mark.parametrize(
    "wrong", ["2026-02-30T08:00:01Z", "1969-12-31T23:59:59Z", "2026-01-05T08:00:60Z", "2026-01-05T8:0000:1Z"]
)
def test_among_universal_times_one_that_is_none_is_a_bad_row_alone(tmp_path, read, row_by_row, wrong):
    path = tmp_path / "usage.csv"
    path.write_text(HEADER + line(1) + line(2, at=wrong) + line(3))
    slices, intake = read(path)
    assert [row["input_tokens"] for row in listed(slices)] == [1, 3]
    assert [bad.line for bad in intake.bad_rows] == [3]
    assert intake.bad_rows == row_by_row(path)[1].bad_rows


def test_tags_of_a_mapping_stand_in_every_row(tmp_path, read):
    path = tmp_path / "usage.csv"
    path.write_text(HEADER + line(1) + line(2))
    (one,), _ = read(
        path,
        column_map=ColumnMap(columns={"time": "time", "input_tokens": "input_tokens"}, tags=("team=search", "batch")),
    )
    assert one.rows.column("tags").to_pylist() == [["team=search", "batch"]] * 2


def test_a_large_parquet_table_takes_no_more_memory_than_a_small_one(tmp_path, prices):
    chance = random.Random(1)
    tokens = [chance.randrange(1 << 30) for _ in range(50_000)]
    times = pa.array([MONDAY] * 50_000, pa.timestamp("us", "UTC"))
    rows = pa.table({"time": times, "input_tokens": tokens, "output_tokens": tokens})

    def held(group_count):
        path = tmp_path / f"{group_count}.parquet"
        with pq.ParquetWriter(path, rows.schema) as writer:
            for _ in range(group_count):
                writer.write_table(rows)
        slices = bulk_tables(path, "ada", prices, Intake(), slice_rows=50_000)
        return max(pa.total_allocated_bytes() for _ in slices), path.stat().st_size

    small, small_bytes = held(8)
    large, large_bytes = held(40)
    assert large_bytes > small_bytes + 10_000_000
    assert large < small + 3_000_000
