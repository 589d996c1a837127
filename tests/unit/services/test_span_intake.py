"""Reported calls: on disk before they are acknowledged, in the lake once, whatever is sent again and whoever dies in between."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from tests.lake_kit import columns, told
from tests.span_kit import SECRET_WORDS, TRACE, exported, span
from tokenroll.services import span_index, span_intake
from tokenroll.services.importers.attribution import attribution_from_toml
from tokenroll.services.list_prices import published_list_prices
from tokenroll.services.span_intake import MARK, SpanIntake, SpoolError
from tokenroll.store import lake_libraries
from tokenroll.store.lake import Lake, LakeBusyError, open_lake, read_lake
from tokenroll.store.lake_libraries import LakeLibraryError
from tokenroll.store.lake_schema import USAGE, LakeRowsError, rows_of_events
from tokenroll.store.lake_verify import verify_lake

LIST_COST = 600 * 150 + 400 * 75 + 50 * 600


@pytest.fixture(scope="module")
def prices():
    return published_list_prices()


@pytest.fixture
def started(tmp_path, prices):
    """Starts the intake of one home, as often as a process would."""
    running: list[SpanIntake] = []

    def start(rules=None):
        for one in running:
            one.close()
        one = SpanIntake(tmp_path / "spool", tmp_path / "lake", rules)
        one.__dict__["_prices"] = prices
        running.append(one)
        return one

    yield start
    for one in running:
        one.close()


def calls(tmp_path, *names):
    """These columns of every event in the lake."""
    directory = tmp_path / "lake"
    all_names = columns(directory, USAGE)
    places = [all_names.index(name) for name in names or ("event_id",)]
    return [tuple(row[place] for place in places) for row in told(directory)]


def test_a_call_is_safe_when_it_is_taken_and_in_the_lake_after_a_round(tmp_path, started):
    intake = started()
    assert intake.take(exported(span(1), span(2)))[:3] == (2, 0, 0)
    assert [path.stat().st_mode & 0o077 for path in (tmp_path / "spool").iterdir()] == [0] * 5
    assert intake.drain() == 2
    assert (
        calls(
            tmp_path,
            "member",
            "project",
            "model",
            "input_tokens",
            "cache_read_tokens",
            "output_tokens",
            "list_cost_nanos",
            "source",
        )
        == [("ada@acme.example", "atlas", "gpt-4o-mini-2024-07-18", 600, 400, 50, LIST_COST, "otel")] * 2
    )
    assert not list((tmp_path / "spool").glob("calls-*"))
    assert intake.drain() == 0


def test_no_word_of_a_call_reaches_the_disk(tmp_path, started):
    intake = started()
    intake.take(exported(span(1), span(2, gen_ai__usage__input_tokens="many")))
    spooled = b"".join(path.read_bytes() for path in (tmp_path / "spool").iterdir())
    intake.drain()
    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    for words in (SECRET_WORDS.encode(), b"Initech"):
        assert words not in spooled
        assert words not in kept


def test_what_is_sent_again_counts_once_also_after_a_kill(tmp_path, started):
    intake = started()
    intake.take(exported(span(1)))
    assert intake.take(exported(span(1), span(2)))[:2] == (2, 1)
    again = started()
    assert again.take(exported(span(2), span(3)))[:2] == (2, 1), "what the last process left waiting is known"
    assert again.drain() == 3
    assert again.take(exported(span(3)))[:2] == (1, 1)
    assert again.drain() == 0


def test_who_dies_between_the_lake_and_the_spool_brings_nothing_twice(tmp_path, started, monkeypatch):
    monkeypatch.setattr(span_intake, "SPANS_DRAIN_EVENTS", 2)
    intake = started()
    intake.take(exported(*(span(number) for number in range(1, 6))))
    (spooled,) = (tmp_path / "spool").glob("calls-*")
    kept = spooled.read_bytes()
    intake.drain()
    spooled.write_bytes(kept)  # as if the process had died before the file was removed
    with read_lake(tmp_path / "lake") as lake:
        assert lake.manifest.marks[MARK] == f"{spooled.name}:5"
    assert started().drain() == 0
    assert len(calls(tmp_path)) == 5


def test_a_line_that_was_torn_was_never_acknowledged(tmp_path, started):
    intake = started()
    intake.take(exported(span(1)))
    intake.close()
    (spooled,) = (tmp_path / "spool").glob("calls-*")
    spooled.write_bytes(spooled.read_bytes() + b'{"source":"otel","event')
    assert started().drain() == 1


def test_a_frameworks_span_around_a_call_may_come_in_a_later_request(tmp_path, started):
    intake = started()
    intake.take(exported(span(1, parent=f"{2:016x}")))
    assert intake.take(exported(span(2)))[0] == 0
    assert intake.drain() == 1


def test_a_frameworks_span_is_known_by_the_next_process_and_when_its_call_is_in_the_lake_long_since(tmp_path, started):
    intake = started()
    intake.take(exported(span(1, parent=f"{2:016x}")))
    intake.close()
    assert started().drain() == 1, "the index is made again of what waits"
    assert started().take(exported(span(2)))[:2] == (0, 0)
    (tmp_path / "spool" / "spans.sqlite3").unlink()
    assert started().take(exported(span(3, parent=f"{4:016x}")))[0] == 1
    for path in (tmp_path / "spool").glob("spans.sqlite3*"):
        path.unlink()
    assert started().take(exported(span(4)))[0] == 0, "removed, it is made again of what waits"


def test_a_frameworks_span_that_came_first_is_taken_back(tmp_path, started):
    intake = started()
    intake.take(exported(span(2)))
    assert intake.drain() == 1
    assert calls(tmp_path, "event_id") == [(f"{TRACE}:{2:016x}",)]
    intake.take(exported(span(5)))
    assert intake.take(exported(span(1, parent=f"{2:016x}"), span(4, parent=f"{5:016x}")))[0] == 2
    assert intake.drain() == 2, "the one that waited is not brought at all"
    assert calls(tmp_path, "event_id") == [(f"{TRACE}:{1:016x}",), (f"{TRACE}:{4:016x}",)]
    assert intake.take(exported(span(2), span(5)))[:2] == (0, 0)
    with read_lake(tmp_path / "lake") as lake:
        assert verify_lake(lake) == []


def test_a_frameworks_frameworks_span_is_none_either(started):
    intake = started()
    assert intake.take(exported(span(2, parent=f"{3:016x}"), span(1, parent=f"{2:016x}")))[0] == 1
    assert intake.take(exported(span(3)))[0] == 0
    assert intake.drain() == 1


def test_more_spans_than_are_kept_forget_the_oldest(started, monkeypatch):
    monkeypatch.setattr(span_index, "SPANS_INDEXED_MAX", 2)
    intake = started()
    intake.take(exported(span(1)))
    intake.take(exported(span(2), span(3)))
    assert intake.take(exported(span(3)))[:2] == (1, 1)
    assert intake.take(exported(span(1)))[:2] == (1, 0)


def test_an_index_that_is_damaged_is_named_and_nothing_is_taken(tmp_path, started):
    intake = started()
    intake.take(exported(span(1)))
    intake.close()
    for path in (tmp_path / "spool").glob("spans.sqlite3-*"):
        path.unlink()
    (tmp_path / "spool" / "spans.sqlite3").write_bytes(b"no database" * 1_000)
    again = started()
    with pytest.raises(SpoolError, match=r"spans\.sqlite3 cannot be used.*remove it"):
        again.take(exported(span(2)))
    (tmp_path / "spool" / "spans.sqlite3").unlink()
    assert again.take(exported(span(1), span(2)))[:2] == (2, 1)


def test_spans_that_are_no_calls_are_passed_by_and_bad_ones_are_rejected(started):
    intake = started()
    taken = intake.take(
        exported(span(1), span(2, gen_ai__operation__name="execute_tool"), span(3, gen_ai__usage__output_tokens="many"))
    )
    assert taken[:3] == (1, 0, 1)
    assert "many" in taken.reason
    with pytest.raises(ValueError, match="array"):
        intake.take(b'{"resourceSpans": 7}')


def test_rules_say_whose_calls_are(tmp_path, started):
    intake = started(
        attribution_from_toml(
            '[[rule]]\nwhen = { email = "*@acme.example" }\nset = { member = "Ada", department = "R&D" }\n'
        )
    )
    intake.take(exported(span(1)))
    intake.drain()
    assert calls(tmp_path, "member", "department") == [("Ada", "R&D")]


def test_a_lake_that_another_writes_is_waited_for(tmp_path, started):
    intake = started()
    intake.take(exported(span(1)))
    with open_lake(tmp_path / "lake"):
        with pytest.raises(LakeBusyError):
            intake.drain()
        assert intake.round() > 0
        assert intake.take(exported(span(2)))[0] == 1
    assert intake.drain() == 2


def test_what_waits_is_bounded_and_a_full_disk_is_told(tmp_path, started, monkeypatch):
    intake = started()
    intake.take(exported(span(1)))
    monkeypatch.setattr(span_intake, "SPANS_SPOOL_BYTES_MAX", 1_000)
    with pytest.raises(SpoolError, match="no more are taken"):
        intake.take(exported(span(2)))
    monkeypatch.undo()

    def full(file, data):
        import os

        os.write(file, data[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(span_intake, "_write_all", full)
    with pytest.raises(SpoolError, match="No space left"):
        intake.take(exported(span(2)))
    monkeypatch.undo()
    assert intake.take(exported(span(2)))[:2] == (1, 0), "what was refused is taken when it is sent again"
    assert intake.drain() == 2
    assert min(calls(tmp_path))[0].endswith("1")


def test_one_process_takes_a_homes_spans(tmp_path, started):
    started().take(exported(span(1)))
    with pytest.raises(SpoolError, match="another process"):
        SpanIntake(tmp_path / "spool", tmp_path / "lake").take(exported(span(2)))


def test_days_of_many_files_are_merged(tmp_path, started, monkeypatch):
    monkeypatch.setattr(span_intake, "SPANS_COMPACT_FILES", 3)
    intake = started()
    for number in range(1, 5):
        intake.take(exported(span(number)))
        intake.drain()
    with read_lake(tmp_path / "lake") as lake:
        assert len(lake.manifest.of_kind("usage")) == 2
    assert len(calls(tmp_path)) == 4


def test_what_the_lake_refuses_is_kept_aside(tmp_path, started, caplog, monkeypatch):
    def refuse(_lake, _rows, _marks):
        raise LakeRowsError("rows of another version")

    intake = started()
    intake.take(exported(span(1)))
    intake.close()
    (spooled,) = (tmp_path / "spool").glob("calls-*")
    again = started()
    monkeypatch.setattr(Lake, "append", refuse)
    assert again.drain() == 0
    assert spooled.with_suffix(".bad").exists()
    assert "is kept aside" in caplog.text
    assert again.drain() == 0


def test_one_call_that_the_lake_refuses_is_kept_aside_and_the_others_are_in(tmp_path, started, monkeypatch):
    real = rows_of_events

    def strict(events):
        if any(one.event_id.endswith("2") for one in events):
            raise LakeRowsError("input_tokens must lie between 0 and 10")
        return real(events)

    monkeypatch.setattr(span_intake, "rows_of_events", strict)
    intake = started()
    intake.take(exported(span(1), span(2), span(3)))
    assert intake.drain() == 2
    assert calls(tmp_path) == [(f"{TRACE}:{1:016x}",), (f"{TRACE}:{3:016x}",)]
    (aside,) = (tmp_path / "spool").glob("*.bad")
    (bad,) = [json.loads(one) for one in aside.read_text().splitlines()]
    assert (bad["line"], bad["reason"]) == (2, "input_tokens must lie between 0 and 10")
    assert bad["call"]["event_id"] == f"{TRACE}:{2:016x}"
    assert intake.drain() == 0


def test_a_line_that_is_no_call_is_told_and_the_others_count(tmp_path, started, caplog):
    intake = started()
    intake.take(exported(span(1)))
    intake.close()
    (spooled,) = (tmp_path / "spool").glob("calls-*")
    event = json.loads(spooled.read_bytes())
    wrong = json.dumps(event | {"event_id": "x:y", "tags": ["a,b"]})
    spooled.write_bytes(wrong.encode() + b"\n" + spooled.read_bytes())
    assert started().drain() == 1
    assert "is no call" in caplog.text
    (aside,) = (tmp_path / "spool").glob("*.bad")
    (bad,) = [json.loads(one) for one in aside.read_text().splitlines()]
    assert bad["line"] == 1
    assert "a tag is a text without a comma" in bad["reason"]
    assert json.loads(bad["call"])["event_id"] == "x:y"


def test_a_span_of_another_century_is_rejected(started):
    taken = started().take(exported(span(1) | {"startTimeUnixNano": "1000", "endTimeUnixNano": "2000"}))
    assert (taken.call_count, taken.rejected_count) == (0, 1)
    assert "1970" in taken.reason


def test_without_the_lakes_libraries_nothing_is_taken(tmp_path, started, monkeypatch):
    def absent(name):
        raise ImportError(name)

    monkeypatch.setattr(lake_libraries, "importlib", SimpleNamespace(import_module=absent))
    with pytest.raises(LakeLibraryError, match=r"tokenroll\[lake\]"):
        started().take(exported(span(1)))
    assert not (tmp_path / "spool").exists()


def test_many_senders_at_once_are_each_safe_and_each_call_is_in_the_lake_once(tmp_path, started, monkeypatch):
    """Eight programs report overlapping calls, in files of a few calls each, while rounds bring them in."""
    monkeypatch.setattr(span_intake, "SPANS_FILE_BYTES", 2_000)
    intake = started()
    ended = threading.Event()
    brought = []

    def rounds():
        while not ended.is_set():
            brought.append(intake.drain())

    def report(first):
        return sum(
            intake.take(exported(span(number), span(number + 1))).call_count for number in range(first, first + 10)
        )

    with ThreadPoolExecutor(9) as pool:
        bringing = pool.submit(rounds)
        taken = list(pool.map(report, range(1, 81, 10)))
        ended.set()
        bringing.result()
    brought.append(intake.drain())
    assert taken == [20] * 8
    assert sum(brought) == 81
    assert len(calls(tmp_path)) == len(set(calls(tmp_path))) == 81
