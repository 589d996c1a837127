"""The lake: what is appended is there once, whatever breaks, in whatever pieces it came and was merged."""

import itertools
from datetime import date
from types import SimpleNamespace

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.lake_kit import DAY, HOUR, MONDAY, FailingDisk, Stopped, agrees, event, sums, told
from tokenroll.model.limits import AMOUNT_NANOS_MAX
from tokenroll.model.usage import Usage
from tokenroll.store import lake_libraries
from tokenroll.store.lake import LakeBusyError, LakeView, open_lake, read_lake
from tokenroll.store.lake_libraries import LakeLibraryError
from tokenroll.store.lake_manifest import NAME, LakeError, read_manifest
from tokenroll.store.lake_queries import UsageQuery, answer
from tokenroll.store.lake_schema import DAILY, ROLLUP, USAGE, LakeRowsError, checked_rows
from tokenroll.store.lake_verify import verify_lake


@pytest.fixture
def home(tmp_path):
    return tmp_path / "lake"


def files(directory, kind=USAGE):
    return read_manifest(directory).of_kind(kind)


def parquet_files(directory):
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*.parquet"))


def test_events_are_there_with_the_mark_that_says_so(home):
    with open_lake(home) as lake:
        assert lake.append([event(1), event(2, MONDAY + DAY)], {"claude-code": "line 2"}) == 2
    with open_lake(home) as lake:
        assert lake.marks == {"claude-code": "line 2"}
    assert sums(home, USAGE) == (2, 240, 2_000)
    assert [(one.day, one.row_count, one.sources, one.currencies) for one in files(home)] == [
        ("2026-01-05", 1, ("claude-code",), ("USD",)),
        ("2026-01-06", 1, ("claude-code",), ("USD",)),
    ]
    assert parquet_files(home)[0].startswith("usage/v1/day=2026-01-05/")


def test_what_nobody_told_is_absent_and_not_zero(home):
    with open_lake(home) as lake:
        lake.append([event(1, usage=Usage(), list_cost_nanos=None)], {})
        lake.roll_up()
    with read_lake(home) as view:
        for kind in (DAILY, ROLLUP, USAGE):
            found = answer(view, UsageQuery(measures=("calls", "input", "list", "model_tokens")), kinds=(kind,))
            assert found.rows() == [{"call_count": 1, "input_tokens": None, "list_cost_nanos": None, "model_tokens": 0}]


def test_arrow_batches_are_the_same_rows_as_events(home, tmp_path):
    batch = pa.record_batch(
        {
            "source": ["claude-code"], "event_id": ["msg-1"], "admitted_at": [MONDAY], "provider": ["anthropic"],
            "requested_model": ["sonnet"], "input_tokens": [100], "output_tokens": [20], "list_cost_nanos": [1_000],
            "member": ["Ada"], "department": ["Engineering"], "purpose": ["work"],
        }
    )  # fmt: skip
    with open_lake(home) as lake, open_lake(tmp_path / "other") as other:
        lake.append(batch, {"claude-code": 1})
        other.append([event(1)], {"claude-code": 1})
    assert told(home) == told(tmp_path / "other")
    assert parquet_files(home) == parquet_files(tmp_path / "other")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"colour": ["red"]}, "no column of a usage event is called colour"),
        ({"provider": None}, "rows lack the column provider"),
        ({"admitted_at": [-1]}, "admitted_at must lie between"),
        ({"admitted_at": [None]}, "admitted_at must be told"),
        ({"event_id": [""]}, "event_id must have 1 to 200 characters"),
        ({"list_cost_nanos": [AMOUNT_NANOS_MAX + 1]}, "list_cost_nanos must lie between"),
        ({"input_tokens": [-1]}, "input_tokens must lie between 0"),
        ({"input_tokens": ["many"]}, "input_tokens cannot be read as int64"),
        ({"tags": [["a,b"]]}, "a tag is a text without a comma"),
        ({"tags": [[str(number) for number in range(17)]]}, "at most 16 tags, not 17"),
    ],
)
def test_rows_that_are_no_events_are_refused_by_name(changes, says):
    good = {"source": ["s"], "event_id": ["e"], "admitted_at": [MONDAY], "provider": ["p"], "requested_model": ["m"]}
    assert checked_rows(pa.table(good)).num_rows == 1
    bad = {name: values for name, values in (good | changes).items() if values is not None}
    with pytest.raises(LakeRowsError, match=says):
        checked_rows(pa.table(bad))


def test_a_home_with_a_pattern_for_a_name_is_read_alone(tmp_path):
    for number, name in enumerate(("a1b", "a?b", "a[1]b", "it's")):
        with open_lake(tmp_path / name) as lake:
            lake.append([event(one) for one in range(number)], {})
            lake.append([event(9)], {})
            lake.compact()
        assert sums(tmp_path / name, USAGE)[0] == number + 1


def test_one_writes_and_the_others_are_told(home):
    with (
        open_lake(home),
        pytest.raises(LakeBusyError, match="another process is writing the usage lake"),
        open_lake(home),
    ):
        pass


def test_a_reader_keeps_its_files_until_it_is_done(home):
    with open_lake(home) as lake:
        lake.append([event(1)], {})
        lake.append([event(2)], {})
        with read_lake(home) as view:
            assert lake.compact() == 1
            assert answer(view, UsageQuery(measures=("calls",))).rows() == [{"call_count": 2}]
            assert len(parquet_files(home)) == 5
    with open_lake(home):
        assert len(parquet_files(home)) == 3


def test_an_event_told_twice_counts_once_after_its_day_is_merged(home):
    grown = Usage(input_tokens=100, output_tokens=90)
    with open_lake(home) as lake:
        lake.append([event(1), event(2)], {})
        lake.append([event(1, usage=grown)], {})
        lake.roll_up()
        assert sums(home, USAGE) == (3, 430, 3_000)
        lake.compact()
    assert sums(home, USAGE) == (2, 310, 2_000)
    assert agrees(home)


def test_two_slices_with_the_same_sums_both_count(home):
    with open_lake(home) as lake:
        for number in range(3):
            lake.append([event(number)], {})
            lake.roll_up()
        assert lake.roll_up() == 0
    assert sums(home, ROLLUP) == (3, 360, 3_000)


def test_sums_wider_than_int64_are_exact(home):
    with open_lake(home) as lake:
        lake.append([event(number, list_cost_nanos=AMOUNT_NANOS_MAX) for number in range(20)], {})
        lake.roll_up()
        lake.append([event(20, list_cost_nanos=-1)], {})
        lake.compact()
    assert agrees(home)
    with read_lake(home) as view:
        found = answer(view, UsageQuery(measures=("list",)))
        assert (found.kind, found.rows()) == (DAILY, [{"list_cost_nanos": 20 * AMOUNT_NANOS_MAX - 1}])
        assert verify_lake(view) == []


def test_a_purpose_is_kept_for_its_days(home):
    week = [event(number, MONDAY + number * DAY, purpose=("work", "personal")[number % 2]) for number in range(7)]
    with open_lake(home) as lake:
        lake.append(week, {"claude-code": 7})
        lake.roll_up()
        assert lake.retain({"personal": 3}, date(2026, 1, 10), dry_run=True) == 1
        assert sums(home, USAGE)[0] == 7
        assert lake.retain({"personal": 3}, date(2026, 1, 10)) == 1
        assert lake.retain({"personal": 3}, date(2026, 1, 10)) == 0
        assert lake.retain({"work": 0, "personal": 3}, date(2026, 1, 8)) == 2
        assert lake.marks == {"claude-code": 7, "retained:personal": "2026-01-07", "retained:work": "2026-01-08"}
        assert lake.append([week[1], event(9, MONDAY + 2 * DAY, purpose="personal")], {"claude-code": 8}) == 1
        lake.roll_up()
    assert sums(home, USAGE)[0] == 5
    assert agrees(home)


def test_retention_on_a_day_that_tells_a_call_twice_leaves_it_there_once(home):
    half = event(1, purpose="personal", usage=Usage(input_tokens=100))
    with open_lake(home) as lake:
        lake.append([half, event(2, purpose="personal")], {"claude-code": 2})
        lake.append([event(1), event(3)], {"claude-code": 3})
        assert lake.retain({"personal": 0}, date(2026, 1, 6), dry_run=True) == 1
        assert lake.retain({"personal": 0}, date(2026, 1, 6)) == 1
    assert sums(home, USAGE)[:2] == (2, 240)
    assert agrees(home)


@pytest.mark.parametrize("days", [-1, 36_501])
def test_a_retention_has_bounds(home, days):
    with open_lake(home) as lake, pytest.raises(LakeError, match="is kept for 0 to 36500 days"):
        lake.retain({"work": days}, date(2026, 1, 10))


def test_what_is_changed_in_a_file_is_found_and_named(home):
    with open_lake(home) as lake:
        lake.append([event(1), event(2, MONDAY + DAY)], {})
        lake.roll_up()
    with read_lake(home) as view:
        assert verify_lake(view) == []
    first, second = (home / one.path for one in files(home))
    first.write_bytes(second.read_bytes())
    (home / files(home, ROLLUP)[1].path).unlink()
    with read_lake(home) as view:
        found = verify_lake(view)
    assert len(found) == 2
    assert f"{first.relative_to(home)} has the digest" in found[1]
    assert "is gone: the manifest says it has 1 rows" in found[0]


def test_sums_that_are_not_those_of_the_events_are_found(home):
    with open_lake(home) as lake:
        lake.append([event(1)], {})
        lake.roll_up()
        lake.append([event(2)], {})
        lake.manifest = lake.manifest.changed(less={one.path for one in lake.manifest.of_kind(ROLLUP)})
        with read_lake(home) as view:
            view.manifest = lake.manifest
            assert verify_lake(view)[0] == "the events of 2026-01-05 have call_count 1, their sums in rollup None"


def test_a_damaged_manifest_is_not_believed(home):
    with open_lake(home) as lake:
        lake.append([event(1)], {})
    manifest = home / NAME
    manifest.write_bytes(manifest.read_bytes().replace(b'"row_count": 1', b'"row_count": 2'))
    with pytest.raises(LakeError, match="is damaged"):
        LakeView(home)


def test_without_the_extra_it_says_what_to_install(home, monkeypatch):
    def absent(name):
        raise ImportError(name)

    monkeypatch.setattr(lake_libraries, "importlib", SimpleNamespace(import_module=absent))
    with pytest.raises(LakeLibraryError, match=r"install `tokenroll\[lake\]`"), open_lake(home):
        pass


def work(lake):
    """Everything that a lake does, each step once it is not done yet: what a process would do that is started again."""
    slices = [[event(number, MONDAY + number * HOUR * 9) for number in range(start, start + 3)] for start in (0, 3)]
    for number, rows in enumerate(slices, 1):
        if lake.marks.get("claude-code", 0) < number:
            lake.append(rows, {"claude-code": number})
    lake.roll_up()
    lake.compact()
    lake.retain({"work": 2}, date(2026, 1, 8))


def test_whoever_is_stopped_at_any_step_and_runs_again_makes_the_same_lake(tmp_path):
    with open_lake(tmp_path / "whole") as lake:
        work(lake)
    wanted = parquet_files(tmp_path / "whole")
    for steps in itertools.count():
        home = tmp_path / f"stopped-{steps}"
        try:
            with open_lake(home, FailingDisk(steps)) as lake:
                work(lake)
        except Stopped:
            with open_lake(home) as lake:
                work(lake)
            assert parquet_files(home) == wanted, steps
            assert told(home) == told(tmp_path / "whole")
        else:
            break
    assert steps > 40


@settings(max_examples=12)
@given(data=st.data())
def test_any_pieces_merged_in_any_order_are_the_same_rows_and_sums(data, tmp_path_factory):
    numbers = st.integers(0, 11)
    pieces = data.draw(st.lists(st.lists(numbers, min_size=1, max_size=6), min_size=1, max_size=4))
    merges = data.draw(st.lists(st.sampled_from(["roll", "merge", ""]), min_size=len(pieces), max_size=len(pieces)))
    amounts = data.draw(
        st.lists(st.integers(-AMOUNT_NANOS_MAX, AMOUNT_NANOS_MAX) | st.none(), min_size=12, max_size=12)
    )

    def made(number):
        return event(
            number, MONDAY + number * 7 * HOUR, list_cost_nanos=amounts[number], tags=("draft",) * (number % 2)
        )

    home, other = tmp_path_factory.mktemp("pieces"), tmp_path_factory.mktemp("whole")
    with open_lake(home) as lake:
        for piece, merge in zip(pieces, merges, strict=True):
            lake.append([made(number) for number in piece], {})
            if merge == "roll":
                lake.roll_up()
            elif merge == "merge":
                lake.compact()
        lake.compact(1)
    with open_lake(other) as lake:
        lake.append([made(number) for number in sorted({number for piece in pieces for number in piece})], {})
        lake.compact(1)
    assert parquet_files(home) == parquet_files(other)
    assert told(home) == told(other)
    assert agrees(home)
