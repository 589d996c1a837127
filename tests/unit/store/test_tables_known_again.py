"""A table without ids is known again by its lines: grown, moved, packed or stopped it is the same, and one that only begins alike is not."""

import gzip
import itertools
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.lake_kit import FailingDisk, Stopped, agrees, sums, told
from tokenroll.services.importers.attribution import Attribution
from tokenroll.services.importers.columns import column_map_from_toml
from tokenroll.services.importers.detecting import events_of, usage_files
from tokenroll.services.importers.intake import Intake
from tokenroll.services.lake_importing import Reading, import_files
from tokenroll.services.list_prices import ListPrices, published_list_prices
from tokenroll.store.lake import open_lake

HEADER = "time,model,user,input_tokens,output_tokens\n"
MONDAY_MICROS = 1_767_571_200_000_000


@pytest.fixture(scope="module")
def prices() -> ListPrices:
    return published_list_prices()


def row(hour: int, tokens: int) -> str:
    return f"2026-01-05T{hour:02}:00:00Z,gpt-4o-mini,ada,{tokens},0\n"


def table(folder: Path, name: str, *rows: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(HEADER + "".join(rows))
    return path


def taken(home: Path, prices: ListPrices, *paths: Path, disk: FailingDisk | None = None) -> Intake:
    intake = Intake()
    with open_lake(home, disk) as lake:
        import_files(lake, usage_files(paths), Reading(prices, Attribution()), intake)
        lake.compact(2)
        lake.roll_up()
    return intake


def calls_and_tokens(home: Path) -> tuple[int, ...]:
    return sums(home, "usage")[:2]


def test_two_tables_that_begin_with_the_same_row_are_two(tmp_path: Path, prices: ListPrices):
    team = table(tmp_path, "team-a.csv", row(8, 100), row(9, 20), row(10, 3))
    other = table(tmp_path, "team-b.csv", row(8, 100), row(9, 5_000))
    first = taken(tmp_path / "lake", prices, team)
    assert first.notes == []
    second = taken(tmp_path / "lake", prices, other)
    assert calls_and_tokens(tmp_path / "lake") == (5, 5_223)
    assert "differs from line 3 on" in second.notes[0]
    assert str(other) in second.notes[0]
    assert agrees(tmp_path / "lake")


def test_in_one_import_and_in_either_order_they_are_two(tmp_path: Path, prices: ListPrices):
    paths = [
        table(tmp_path, "a.csv", row(8, 100), row(9, 20)),
        table(tmp_path, "b.csv", row(8, 100), row(9, 7)),
        table(tmp_path, "c.csv", row(8, 100), row(9, 7), row(10, 1)),
    ]
    for order in itertools.permutations(paths):
        home = tmp_path / "-".join(path.stem for path in order)
        taken(home, prices, *order)
        # a has two calls; c is b grown, or b an earlier copy of c
        assert calls_and_tokens(home) == (5, 228), order


@pytest.mark.parametrize("row_count", [1, 31, 40, 700])
def test_one_that_grew_and_was_moved_and_packed_is_the_same(tmp_path: Path, prices: ListPrices, row_count: int):
    rows = [
        f"2026-01-05T08:{number // 60:02}:{number % 60:02}Z,gpt-4o-mini,ada,1,0\n" for number in range(row_count + 3)
    ]
    taken(tmp_path / "lake", prices, table(tmp_path, "usage.csv", *rows[:row_count]))
    grown = table(tmp_path / "moved", "other.csv", *rows)
    packed = tmp_path / "moved" / "other.csv.gz"
    packed.write_bytes(gzip.compress(grown.read_bytes()))
    grown.unlink()
    assert taken(tmp_path / "lake", prices, packed).notes == []
    assert calls_and_tokens(tmp_path / "lake") == (row_count + 3, row_count + 3)
    assert taken(tmp_path / "lake", prices, packed).event_count == 0


def test_an_earlier_copy_of_a_table_counts_nothing_twice_and_says_what_was_not_compared(
    tmp_path: Path, prices: ListPrices
):
    rows = [f"2026-01-05T08:{number // 60:02}:{number % 60:02}Z,gpt-4o-mini,ada,1,0\n" for number in range(100)]
    taken(tmp_path / "lake", prices, table(tmp_path, "usage.csv", *rows))
    assert taken(tmp_path / "lake", prices, table(tmp_path, "earlier.csv", *rows[:20])).notes == []
    # 91 lines with the header, of which the first 88 have a digest: 64 and 3 eighths of it
    (said,) = taken(tmp_path / "lake", prices, table(tmp_path, "later.csv", *rows[:90])).notes
    assert "its lines from 89 on are taken for the same ones" in said
    assert calls_and_tokens(tmp_path / "lake") == (100, 100)


def test_a_row_that_is_half_written_does_not_make_another_table(tmp_path: Path, prices: ListPrices):
    path = table(tmp_path, "usage.csv", row(8, 100), row(9, 20), "2026-01-05T10:00:00Z,gpt-4o-mini,a")
    assert taken(tmp_path / "lake", prices, path).bad_count == 1
    table(tmp_path, "usage.csv", row(8, 100), row(9, 20), row(10, 3))
    assert taken(tmp_path / "lake", prices, path).notes == []
    assert calls_and_tokens(tmp_path / "lake") == (3, 123)


@pytest.mark.parametrize(
    ("known", "other"),
    [
        (row(9, 20)[:-1], row(9, 70)[:-1]),
        (row(9, 20)[:-1], row(9, 5_000)[:-1]),
        (row(9, 5_000)[:-1], row(9, 20)[:-1]),
        (row(9, 20)[:-1], row(9, 70) + row(10, 3)),
        (row(9, 5_000)[:-1], row(9, 20) + row(10, 3)),
    ],
)
@pytest.mark.parametrize("at_once", [True, False])
def test_two_tables_whose_last_lines_have_no_end_and_differ_are_two(
    known: str, other: str, at_once: bool, tmp_path: Path, prices: ListPrices
):
    paths = [table(tmp_path, name, row(8, 100), last) for name, last in (("team-a.csv", known), ("team-b.csv", other))]
    if at_once:
        (note,) = taken(tmp_path / "lake", prices, *paths).notes
    else:
        assert taken(tmp_path / "lake", prices, paths[0]).notes == []
        (note,) = taken(tmp_path / "lake", prices, paths[1]).notes
    assert "team-b.csv begins as a table that is in and differs from line 3 on" in note
    assert calls_and_tokens(tmp_path / "lake")[0] == 4 + other.count("\n") // 2
    for path in paths:
        assert taken(tmp_path / "lake", prices, path).event_count == 0


def test_three_tables_that_differ_in_such_a_last_line_are_three(tmp_path: Path, prices: ListPrices):
    paths = [table(tmp_path, f"{tokens}.csv", row(8, 100), row(9, tokens)[:-1]) for tokens in (20, 30, 40)]
    taken(tmp_path / "lake", prices, *paths)
    assert calls_and_tokens(tmp_path / "lake") == (6, 390)


@pytest.mark.parametrize("half", [row(9, 20)[:-1], row(9, 20)[:-2], row(9, 20)[:-4], "2026"])
def test_a_last_line_without_its_end_may_grow_in_the_same_table(half: str, tmp_path: Path, prices: ListPrices):
    path = table(tmp_path, "usage.csv", row(8, 100), half)
    taken(tmp_path / "lake", prices, path)
    for lines in ((row(9, 20)[:-1],), (row(9, 20),), (row(9, 20), row(10, 3)[:-1]), (row(9, 20), row(10, 3))):
        table(tmp_path, "usage.csv", row(8, 100), *lines)
        assert taken(tmp_path / "lake", prices, path).notes == []
    assert calls_and_tokens(tmp_path / "lake") == (3, 123)


@pytest.mark.parametrize("more", ["", "\n", f"\n{row(10, 3)}"])
def test_an_earlier_copy_whose_last_line_is_cut_is_the_same_table_and_it_is_said(
    more: str, tmp_path: Path, prices: ListPrices
):
    taken(tmp_path / "lake", prices, table(tmp_path, "usage.csv", row(8, 100), row(9, 20)[:-1] + more))
    before = calls_and_tokens(tmp_path / "lake")
    earlier = table(tmp_path, "earlier.csv", row(8, 100), row(9, 20)[:-5])
    (said,) = taken(tmp_path / "lake", prices, earlier).notes
    assert "ends before it: its lines from 3 on are taken for the same ones" in said
    assert calls_and_tokens(tmp_path / "lake") == before
    # what was known of the whole table is not forgotten for the half of it
    taken(tmp_path / "lake", prices, table(tmp_path, "other.csv", row(8, 100), row(9, 70)[:-1] + more))
    assert calls_and_tokens(tmp_path / "lake")[0] == 2 * before[0]


def test_stopped_anywhere_and_grown_before_it_goes_on_it_is_the_same_lake(
    tmp_path: Path, prices: ListPrices, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("tokenroll.services.importers.bulk_tables.IMPORT_SLICE_ROWS", 2)
    before = table(tmp_path / "before", "usage.csv", *(row(hour, 1) for hour in range(5)))
    after = table(tmp_path / "after", "usage.csv", *(row(hour, 1) for hour in range(7)))
    other = table(tmp_path / "after", "other.csv", row(0, 1), row(1, 2))
    for steps in itertools.count():
        home = tmp_path / f"stopped-{steps}"
        try:
            taken(home, prices, before, other, disk=FailingDisk(steps))
        except Stopped:
            taken(home, prices, after, other)
            assert calls_and_tokens(home) == (9, 10), steps
        else:
            break
    assert steps > 10


def test_a_parquet_table_with_untold_cells_of_every_kind_is_known_again_when_it_grew(
    tmp_path: Path, prices: ListPrices
):
    def parquet(name: str, count: int, group: int) -> Path:
        path, cents = tmp_path / name, [None if number % 3 else number for number in range(count)]
        columns = {
            "time": pa.array([MONDAY_MICROS + number for number in range(count)], pa.timestamp("us", "UTC")),
            "model": pa.array(["gpt-4o-mini"] * count).dictionary_encode(),
            "input_tokens": pa.array([1] * count, pa.int32()),
            "cost": pa.array(cents, pa.decimal128(12, 2)),
            "ended_time": pa.array(
                [None if number % 2 else MONDAY_MICROS for number in range(count)], pa.timestamp("us", "UTC")
            ),
            "is_cached": pa.array([None if number % 5 else False for number in range(count)]),
        }
        pq.write_table(pa.table(columns), path, row_group_size=group)
        return path

    taken(tmp_path / "lake", prices, parquet("a.parquet", 40, 7))
    taken(tmp_path / "lake", prices, parquet("grown.parquet", 50, 11))
    assert calls_and_tokens(tmp_path / "lake") == (50, 50)


def test_a_parquet_table_that_grew_is_the_same_however_it_is_laid_out(tmp_path: Path, prices: ListPrices):
    def parquet(name: str, tokens: list[int], group: int) -> Path:
        path = tmp_path / name
        times = [f"2026-01-05T08:00:{number:02}Z" for number in range(len(tokens))]
        columns = {
            "time": times,
            "model": ["gpt-4o-mini"] * len(tokens),
            "input_tokens": tokens,
            "output_tokens": [0] * len(tokens),
        }
        pq.write_table(pa.table(columns), path, row_group_size=group)
        return path

    taken(tmp_path / "lake", prices, parquet("a.parquet", [1] * 40, 7))
    taken(tmp_path / "lake", prices, parquet("grown.parquet", [1] * 50, 11))
    assert calls_and_tokens(tmp_path / "lake") == (50, 50)
    assert taken(tmp_path / "lake", prices, parquet("b.parquet", [1, 1, 9], 3)).notes != []
    assert calls_and_tokens(tmp_path / "lake") == (53, 61)


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("trace.jsonl", '{{"timestamp": {at}, "input_length": {tokens}, "output_length": 0, "hash_ids": []}}\n'),
        (
            "agents.jsonl",
            '{{"t_ms": {at}, "trace": "a", "input_tokens": {tokens}, "output_tokens": 1, "model": "m-small"}}\n',
        ),
    ],
)
def test_traces_that_begin_alike_are_two_and_a_trace_that_is_renamed_is_one(
    name: str, line: str, tmp_path: Path, prices: ListPrices
):
    first, second, again = tmp_path / f"a-{name}", tmp_path / f"b-{name}", tmp_path / f"c-{name}"
    first.write_text(line.format(at=0, tokens=10) + line.format(at=1_000, tokens=20))
    second.write_text(line.format(at=0, tokens=10) + line.format(at=1_000, tokens=30))
    again.write_text(first.read_text() + line.format(at=2_000, tokens=40))
    intake = Intake()
    told_of = list(events_of(usage_files([first, second, again]), prices, intake, starts_at=1_767_571_200_000_000))
    assert len(told_of) == 7
    assert len({event.event_id for event in told_of}) == 5


def test_rows_that_have_no_id_in_a_table_that_has_ids_are_not_lost(tmp_path: Path, prices: ListPrices):
    header = "id,time,model,input_tokens,output_tokens\n"
    rows = ",2026-01-05T08:00:00Z,gpt-4o-mini,100,0\n"
    for number, last in enumerate(
        ("x,2026-01-05T09:00:00Z,gpt-4o-mini,1,0\n", ",2026-01-05T09:00:00Z,gpt-4o-mini,5,0\n")
    ):
        path = tmp_path / f"{number}.csv"
        path.write_text(header + rows + last)
        taken(tmp_path / "lake", prices, path)
    assert calls_and_tokens(tmp_path / "lake") == (4, 206)


def test_a_mapping_changes_nothing_of_by_what_a_table_is_known(tmp_path: Path, prices: ListPrices):
    path = tmp_path / "calls.csv"
    path.write_text("When,In\n2026-01-05T00:00:00Z,7\n")
    told_map = column_map_from_toml('[columns]\ntime = "When"\ninput_tokens = "In"\n')
    with open_lake(tmp_path / "lake") as lake:
        reading = Reading(prices, Attribution(), told_map)
        import_files(lake, usage_files([path]), reading, Intake())
        path.write_text("When,In\n2026-01-05T00:00:00Z,7\n2026-01-05T00:00:00Z,8\n")
        import_files(lake, usage_files([path]), reading, Intake())
        lake.compact(2)
    assert len(told(tmp_path / "lake")) == 2
