"""Whatever a table holds, and however it is sliced and resumed: read in bulk it is what it is row by row, to the nano and the line."""

import csv
import gzip
import io
import re
import tempfile
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenroll.engine.rating import pinned
from tokenroll.model.rate_card import RateCard, RateTable, RateTier
from tokenroll.model.usage import Meter
from tokenroll.services.importers.bulk_tables import bulk_tables
from tokenroll.services.importers.columns import ColumnMap, column_events
from tokenroll.services.importers.intake import Intake, SourceError
from tokenroll.services.list_prices import ListPrices

lake_schema = pytest.importorskip("tokenroll.store.lake_schema", reason="the lake's libraries are not installed")
pa = pytest.importorskip("pyarrow", reason="the lake's libraries are not installed")

CHANGE_AT = 1_767_571_200_000_000  # 2026-01-05T00:00:00Z


def card(model, effective_at, input_attos, output_attos, tiers=()):
    table = RateTable(base={Meter.INPUT: input_attos, Meter.OUTPUT: output_attos}, tiers=tiers)
    cheap = RateTable(base={Meter.INPUT: input_attos // 2, Meter.OUTPUT: output_attos // 2, Meter.CACHE_READ: 7})
    prices = {"standard": table, "batch": cheap}
    return pinned(
        RateCard(
            id=1, public_id="c", provider="openai", model=model, aliases=(), effective_at=effective_at, recorded_at=0,
            currency="USD", list_prices=prices, net_prices=prices, internal_prices=prices, context_window_tokens=None,
            output_tokens_max=None, source="test", digest="", overhead_tokens_per_message=0,
            overhead_tokens_per_request_with_tools=0, overhead_tokens_per_tool=0,
        )
    )  # fmt: skip


LONG = RateTier(input_tokens_above=200, rates={Meter.INPUT: 3_333_333_333})
PRICES = ListPrices(
    (
        card("small", 0, 1_500_000_001, 500_000_000),
        card("small", CHANGE_AT, 10**15 + 1, 3),
        card("large", 0, 3 * 10**12, 15 * 10**12, (LONG,)),
    )
)
TIMES = {
    "rfc3339": (
        "2026-01-04T23:59:59Z", "2026-01-05T00:00:00.000001Z", "2026-01-05 08:00:00", "2026-01-05", "2026-02-28T08:00:00.123+02:00",
        "2026-02-29", "2026-03-29T02:30:00", "2026-10-25 02:30:00", "2026-01-05T08:00:00 UTC", "20260105T080000Z", "2026-01-05T08:00Z",
        "1969-12-31T23:59:59Z", "2026-01-05T24:00:00", "2026-01-05T08:00:00.1234567Z", "2026-01-05T08:00:00-23:59", "soon", "",
    ),
    "seconds": ("1767571200", "1767571199.9999999", "1.767571200e9", "-1", "0", " 5 ", "99999999999999", "1,5", "", "nan", ".5"),
    "milliseconds": ("1767571200000", "1767571199999.5", "x", "1767571200000000000"),
    "date": ("2026-01-04", "2026-01-05", "2026-01-05T10:00:00+00:00", "5.1.2026"),
}  # fmt: skip
COUNT = st.one_of(
    st.integers(0, 1_000).map(str),
    st.sampled_from(
        ["", "0", "007", "12.0", "1e3", " 5", "-1", "1.5", "x", "999999999999", "1000000000001", "9" * 19, "٣"]
    ),
)
COST = st.one_of(
    st.decimals(0, 1000, places=12).map(str),
    st.sampled_from([
        "", " ", "0", "0.0", "0.", ".5", ".", "00.10", "1e-7", "-0.5", "$1.25", "0.0000000005", "0.0000000015", "0.00000000150000001",
        "0.123456789012345678901234567890", "999999999.999999999", "99999999999", "1_0", "1,5", "nan", "0.000000000000000000123",
    ]),
)  # fmt: skip
NAME = st.one_of(
    st.sampled_from(
        [
            "",
            "ada",
            "bo",
            "ada",
            "a,b",
            'say "hi"',
            "two\nlines",
            "tab\there",
            "é" * 3,
            "x" * 250,
            "sk-secret",
            "sk-a…z",
            "null",
        ]
    ),
    st.text(alphabet='ab",\n\r ;\x00\x7f😀', max_size=6),
)
FIELDS = {
    "model": st.sampled_from(["small", "large", "LARGE", "openai/small", "none", ""]),
    "requested_model": st.sampled_from(["small", "alias", ""]),
    "provider": st.sampled_from(["openai", "azure", ""]),
    "member": NAME,
    "member_scope": st.sampled_from(["", "team"]),
    "key": NAME,
    "project": NAME,
    "status": st.sampled_from(["", "success", "FAILED", "Odd"]),
    "service_tier": st.sampled_from(["", "default", "batch", "flex"]),
    "currency": st.sampled_from(["", "usd", "EUR"]),
    "context_window": st.sampled_from(["", "> 200k", "200k-1M", "0-200k"]),
    "event_id": st.one_of(st.integers(0, 5).map(str), NAME),
    "input_tokens": COUNT,
    "cache_read_tokens": COUNT,
    "output_tokens": COUNT,
    "reasoning_tokens": COUNT,
    "request_count": st.sampled_from(["", "0", "1", "3"]),
    "billed_cost": COST,
    "list_cost": COST,
}
MEANS = {"request_count": st.sampled_from(["", "0", "2"]), "input_mean_tokens": COST}


@st.composite
def tables(draw):
    """A mapping, the bytes of a table, and what is told beside it."""
    unit = draw(st.sampled_from(sorted(TIMES)))
    names = draw(st.lists(st.sampled_from(sorted(FIELDS)), unique=True, min_size=1, max_size=9))
    fields = {"time": st.sampled_from(TIMES[unit]), **{name: FIELDS[name] for name in names}}
    fields["output_tokens"] = COUNT
    if draw(st.booleans()):
        fields["ended_time"] = st.sampled_from(TIMES[unit])
    if draw(st.integers(0, 9)) == 0:
        fields |= MEANS
    told = ColumnMap(
        columns={name: name for name in fields},
        time_unit=unit,
        zone=draw(st.sampled_from([None, ZoneInfo("Europe/Berlin"), ZoneInfo("UTC")])),
        starts_at=draw(st.sampled_from([0, CHANGE_AT])),
        cost_unit=draw(st.sampled_from([1, 100, 3])),
        tags=draw(st.sampled_from([(), ("a", "b")])),
        **{
            name: draw(st.booleans())
            for name in ("input_includes_cached", "output_includes_reasoning", "zero_is_failed", "rows_are_sums")
        },
    )
    rows = draw(st.lists(st.fixed_dictionaries(fields), max_size=25))
    stream = io.StringIO()
    quoting = draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
    writer = csv.writer(
        stream,
        delimiter=draw(st.sampled_from(",;\t")),
        lineterminator=draw(st.sampled_from(["\n", "\r\n"])),
        quoting=quoting,
    )
    writer.writerow(fields)
    for row in rows:
        writer.writerow(row.values())
        if draw(st.integers(0, 12)) == 0:
            stream.write(
                draw(st.sampled_from(["\n", "a,b\n", '"open,\n', "\r\n", "a\rb\n", "," * (len(fields) - 1) + "\n"]))
            )
    data = draw(st.sampled_from([b"", b"\xef\xbb\xbf"])) + stream.getvalue().encode()
    if draw(st.integers(0, 9)) == 0:
        place = draw(st.integers(0, len(data)))
        data = data[:place] + draw(st.sampled_from([b"\xff", b'"', b"\n", b"\0"])) + data[place:]
    return told, data[: len(data) - draw(st.integers(0, 1))]


def facts(intake):
    return intake.row_count, intake.event_count, intake.repeat_count, intake.bad_rows, intake.other


def row_by_row(path, told):
    intake = Intake()
    events = list(column_events(path, "cy", PRICES, intake, column_map=told))
    intake.event_count = len(events)
    return lake_schema.rows_of_events(events), intake


def in_bulk(path, told, **options):
    intake = Intake()
    slices = list(bulk_tables(path, "cy", PRICES, intake, column_map=told, **options))
    return slices, intake


def whole(slices):
    schema = lake_schema.usage_schema()
    return pa.concat_tables([lake_schema.checked_rows(one.rows) for one in slices] or [schema.empty_table()])


@given(tables(), st.integers(1, 12), st.sampled_from([60, 300, 8 * 1024 * 1024]), st.booleans(), st.data())
def test_bulk_rows_are_those_of_the_row_path(given_table, slice_rows, block_bytes, packed, data):
    told, content = given_table
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr("tokenroll.services.importers.bulk_cells.IMPORT_BLOCK_BYTES", block_bytes)
        path = Path(folder) / ("t.csv.gz" if packed else "t.csv")
        path.write_bytes(gzip.compress(content) if packed else content)
        try:
            expected, counted = row_by_row(path, told)
        except SourceError as error:
            with pytest.raises(SourceError, match=re.escape(str(error))):
                in_bulk(path, told)
            return
        slices, intake = in_bulk(path, told, slice_rows=slice_rows)
        assert facts(intake) == facts(counted)
        assert whole(slices).to_pylist() == expected.to_pylist()
        assert all(one.rows.num_rows <= slice_rows for one in slices)
        if slices:
            assert_resumes(path, told, slice_rows, data.draw(st.integers(0, len(slices) - 1)), counted, expected)


def assert_resumes(path, told, slice_rows, cut, counted, expected):
    """Stopped behind any slice and gone on from its mark, in slices of another size: the rows and counts of both are those of all."""
    intake = Intake()
    reading = bulk_tables(path, "cy", PRICES, intake, column_map=told, slice_rows=slice_rows)
    begun = [next(reading) for _ in range(cut + 1)]
    reading.close()
    rest, later = in_bulk(path, told, slice_rows=slice_rows + 1, skip_rows=begun[-1].row_count_through)
    intake.add(later)
    assert facts(intake) == facts(counted)
    assert whole([*begun, *rest]).to_pylist() == expected.to_pylist()


RAW = st.text(alphabet='ab",\r\n ', max_size=8)
RAW_MAP = ColumnMap(
    columns={"time": "time", "output_tokens": "output_tokens", "member": "member"}, zone=ZoneInfo("UTC")
)


@given(st.lists(st.tuples(RAW, RAW), max_size=12), st.sampled_from([40, 8 * 1024 * 1024]))
def test_both_readers_take_any_text_for_the_same_cells(raw, block_bytes):
    lines = [f"2026-01-05,{number}{left},{right}\n" for number, (left, right) in enumerate(raw)]
    content = "".join(["time,output_tokens,member\n2026-01-05,1,ada\n", *lines]).encode()
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr("tokenroll.services.importers.bulk_cells.IMPORT_BLOCK_BYTES", block_bytes)
        path = Path(folder) / "t.csv"
        path.write_bytes(content)
        expected, counted = row_by_row(path, RAW_MAP)
        slices, intake = in_bulk(path, RAW_MAP)
        assert facts(intake) == facts(counted)
        assert whole(slices).to_pylist() == expected.to_pylist()
