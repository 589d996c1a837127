"""Doors ask the lake by way of a process of its own: answers are kept by the lake they are of, and nobody waits for ever."""

import contextlib
import sys
import threading
import time
from typing import Any

import pytest

from tests.firm import CREDIT, FEBRUARY, HOUR, JANUARY, Firm
from tests.lake_kit import MONDAY, event
from tokenroll.insight.pictures import bars, document, sized
from tokenroll.services import lake_desk
from tokenroll.services.lake_desk import BUSY, FAILED, LIBRARY, QUESTION, LakeDesk, LakeDeskError
from tokenroll.services.meter_quarantine import Deciding, decide
from tokenroll.store.lake import open_lake
from tokenroll.store.lake_decisions import Verdict

BY_MEMBER: dict[str, Any] = {
    "by": "member",
    "measure": "calls,list",
    "where": [],
    "from": None,
    "until": None,
    "order": "",
    "limit": None,
}


@pytest.fixture
def lake(tmp_path):
    directory = tmp_path / "lake"
    with open_lake(directory) as one:
        one.append([event(1, list_cost_nanos=2 * CREDIT), event(2, MONDAY + HOUR, member="Bo")], {"story": 1})
    return directory


@pytest.fixture
def desk(lake, tmp_path):
    made = []

    def make(**options):
        made.append(LakeDesk(lake, tmp_path / "ledger.db", **options))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_an_answer_is_that_of_the_command_line(desk):
    said = desk().ask("usage", BY_MEMBER)
    assert said == {
        "answered_from": "usage",
        "rows": [
            {"member": "Ada", "call_count": 1, "list_cost": {"amount": "2.000000000", "unit": "USD"}},
            {"member": "Bo", "call_count": 1, "list_cost": {"amount": "0.000001000", "unit": "USD"}},
        ],
    }


def test_the_same_question_of_the_same_lake_is_answered_once(desk, lake, monkeypatch):
    one = desk(fresh_seconds=0)
    first = one.ask("usage", BY_MEMBER)
    asked = []
    exchange = one._lake.exchange

    def listen(question):
        line = exchange(question)
        asked.append(line)
        return line

    monkeypatch.setattr(one._lake, "exchange", listen)
    assert one.ask("usage", BY_MEMBER) == first
    assert b'"same": true' in asked[0]
    with open_lake(lake) as more:
        more.append([event(3, member="Cleo")], {"story": 2})
    assert [row["member"] for row in one.ask("usage", BY_MEMBER)["rows"]] == ["Ada", "Bo", "Cleo"]
    assert b'"same"' not in asked[1]


def test_what_is_decided_of_a_meter_is_another_lake(desk, lake):
    """Ten calls of 1 and one of 5,000, whose tokens cost 1 elsewhere: out of the pace until Cleo confirms it."""
    with open_lake(lake) as more:
        more.append(
            [event(10 + number, source="gateway", list_cost_nanos=CREDIT) for number in range(10)]
            + [event(30, source="gateway", list_cost_nanos=5_000 * CREDIT)],
            {"story": 2},
        )  # fmt: skip
    one = desk(fresh_seconds=0)
    (call,) = one.quarantined()
    assert (call.source, call.list_cost_nanos) == ("gateway", 5_000 * CREDIT)
    confirmed = Deciding(
        id="decision-1", verdict=Verdict.CONFIRMED, source="gateway", model=call.model, event_ids=(), by="Cleo", reason="As billed."
    )  # fmt: skip
    with open_lake(lake) as more:
        decide(more, confirmed, MONDAY)
    assert one.quarantined() == []


BY_HOUR = {**BY_MEMBER, "by": "department,hour", "measure": "calls,list"}


def people(start, count, department, hour=0):
    """So many people, each with one call of a credit in the hour."""
    return [
        event(start + number, MONDAY + hour * HOUR, member=f"{department} {number}", department=department, list_cost_nanos=CREDIT)
        for number in range(count)
    ]  # fmt: skip


def hours(said):
    return [(row["department"], row["call_count"], row["list_cost"]["amount"]) for row in said["rows"]]


def test_hours_of_a_small_department_are_told_with_those_of_others(tmp_path):
    """Six in Engineering, five in Sales, three in Legal: Legal alone is too few, and Sales is the next larger."""
    with open_lake(tmp_path / "lake") as one:
        one.append(
            [
                *people(1, 6, "Engineering"),
                *people(20, 5, "Sales"),
                *people(40, 3, "Legal"),
                *people(60, 2, "Sales", 1),
            ],
            {"story": 1},
        )
    desk = LakeDesk(tmp_path / "lake", tmp_path / "ledger.db")
    assert hours(desk.ask("usage", BY_HOUR)) == [
        ("Engineering", 6, "6.000000000"),
        ("small groups together", 8, "8.000000000"),
        ("small groups together", 2, "2.000000000"),
    ]
    largest = desk.ask("usage", {**BY_HOUR, "order": "-list", "limit": 2})
    assert hours(largest) == [("small groups together", 8, "8.000000000"), ("Engineering", 6, "6.000000000")]
    with pytest.raises(LakeDeskError, match="the hours of 3 people would tell of each"):
        desk.ask("usage", {**BY_HOUR, "by": "hour", "where": ["department=Legal"]})
    with pytest.raises(LakeDeskError, match="ask without currency, or by day"):
        desk.ask("usage", {**BY_HOUR, "by": "department,currency,hour"})
    by_day = desk.ask("usage", {**BY_HOUR, "by": "department,day"})
    assert hours(by_day) == [
        ("Engineering", 6, "6.000000000"),
        ("Legal", 3, "3.000000000"),
        ("Sales", 7, "7.000000000"),
    ]
    desk.close()


def test_hours_of_departments_that_are_large_enough_are_told_as_they_are(tmp_path):
    with open_lake(tmp_path / "lake") as one:
        one.append([*people(1, 6, "Engineering"), *people(20, 5, "Sales")], {"story": 1})
    desk = LakeDesk(tmp_path / "lake", tmp_path / "ledger.db")
    assert hours(desk.ask("usage", BY_HOUR)) == [("Engineering", 6, "6.000000000"), ("Sales", 5, "5.000000000")]
    desk.close()


def test_a_fresh_answer_asks_nobody(desk, monkeypatch):
    one = desk()
    first = one.ask("usage", BY_MEMBER)
    monkeypatch.setattr(one._lake, "exchange", None)
    assert one.ask("usage", BY_MEMBER) == first


def test_what_the_ledger_settled_since_is_in(tmp_path):
    firm = Firm(JANUARY, tmp_path / "ledger.db")
    firm.do("plan.create", name="tools", kind="stipend", classification="tool", amount_nanos=100 * CREDIT)
    firm.hire("Ada")
    firm.do("grant.create", to="Ada", plan="tools")
    firm.now = FEBRUARY
    firm.call("Ada", 1, 3 * CREDIT)
    desk = LakeDesk(tmp_path / "lake", tmp_path / "ledger.db", fresh_seconds=0)
    charge = {**BY_MEMBER, "by": "", "measure": "charge"}
    assert desk.ask("usage", charge)["rows"] == [{"charge": {"amount": "3.000000000", "unit": "credits"}}]
    firm.call("Ada", 1, 2 * CREDIT)
    assert desk.ask("usage", charge)["rows"] == [{"charge": {"amount": "5.000000000", "unit": "credits"}}]
    desk.close()
    firm.connection.close()
    firm.connection.engine.dispose()


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"by": "mood"}, "there is no dimension 'mood'"),
        ({"by": "member,hour"}, "the hours of one person are theirs alone"),
        ({"by": "hour", "where": ["member=Ada"]}, "the hours of one person are theirs alone"),
        ({"by": "hour", "where": ["member!=Ada"]}, "the hours of one person are theirs alone"),
        ({"from": "soon"}, "from: 'soon' is no day such as 2026-11-30"),
        ({"until": "1776-07-04"}, "until: 1776-07-04 must lie in the years from 2000 to 2999"),
        ({"limit": 10_001}, "at most 10000 rows are told here"),
    ],
)
def test_a_question_that_cannot_be_asked_says_what_can(desk, changed, says):
    with pytest.raises(LakeDeskError, match=says) as caught:
        desk().ask("usage", {**BY_MEMBER, **changed})
    assert caught.value.kind == QUESTION


@pytest.mark.parametrize("changed", [{"by": "member"}, {"where": ["member=Ada"]}, {"where": ["session~x"]}])
def test_a_forecast_by_the_hour_is_of_no_person(desk, changed):
    asked: dict[str, Any] = {
        "by": "company",
        "measure": "list",
        "days": None,
        "from": None,
        "hourly": True,
        "where": [],
        "now": MONDAY,
    }
    with pytest.raises(LakeDeskError, match="the hours of one person are theirs alone"):
        desk().ask("forecast", {**asked, **changed})


def test_what_nobody_foresaw_is_told_without_its_inside_and_the_next_question_is_answered(desk):
    one = desk()
    with pytest.raises(LakeDeskError, match="something went wrong in the usage lake") as caught:
        one.ask("usage", {"by": "member"})
    assert caught.value.kind == FAILED
    assert len(one.ask("usage", BY_MEMBER)["rows"]) == 2


def test_a_damaged_lake_says_how_to_mend_it(desk, lake):
    (lake / "manifest.json").write_text("nothing")
    with pytest.raises(LakeDeskError, match="is damaged: put it back from your backup") as caught:
        desk().ask("usage", BY_MEMBER)
    assert caught.value.kind == FAILED


def without_libraries(tmp_path, monkeypatch):
    """A machine without the extra: what it would load is not there."""
    for name in ("duckdb", "pyarrow", "ibis"):
        (tmp_path / "bare" / name).mkdir(parents=True)
        (tmp_path / "bare" / name / "__init__.py").write_text("raise ImportError\n")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path / 'bare'}:{':'.join(sys.path[1:])}")


def test_without_the_extra_it_says_what_to_install(desk, tmp_path, monkeypatch):
    without_libraries(tmp_path, monkeypatch)
    with pytest.raises(LakeDeskError, match=r"install `tokenroll\[lake\]`") as caught:
        desk().ask("usage", BY_MEMBER)
    assert caught.value.kind == LIBRARY


def script(desk, text):
    """In place of whoever answers: a program of one line."""
    for aside in (desk._lake, desk._drawing):
        aside._command = [sys.executable, "-c", text]
    return desk


def test_who_is_late_is_ended_and_the_next_question_starts_another(desk):
    one = desk(seconds_max=0.5)
    answering = one._lake._command
    script(one, "import time; time.sleep(60)")
    began = time.monotonic()
    with pytest.raises(LakeDeskError, match=r"the answer took more than \d seconds") as caught:
        one.ask("usage", BY_MEMBER)
    assert caught.value.kind == BUSY
    assert time.monotonic() - began < 5
    one._lake._command, one._lake._seconds_max = answering, 30
    assert len(one.ask("usage", BY_MEMBER)["rows"]) == 2


def test_who_dies_is_told_of_and_the_next_question_starts_another(desk):
    one = desk()
    answering = one._lake._command
    script(one, "import sys; sys.stdin.readline()")
    with pytest.raises(LakeDeskError, match="ended, most likely for lack of memory") as caught:
        one.ask("usage", BY_MEMBER)
    assert caught.value.kind == FAILED
    one._lake._command = answering
    assert len(one.ask("usage", BY_MEMBER)["rows"]) == 2


def test_an_answer_that_never_ends_is_cut(desk, monkeypatch):
    monkeypatch.setattr(lake_desk, "LAKE_ANSWER_BYTES_MAX", 1_000)
    one = script(
        desk(),
        "import sys; sys.stdin.readline(); sys.stdout.write('x' * 5000); sys.stdout.flush(); sys.stdin.readline()",
    )
    with pytest.raises(LakeDeskError, match="ask for less at a time"):
        one.ask("usage", BY_MEMBER)


def test_who_comes_when_too_many_wait_is_told_at_once(desk, monkeypatch):
    monkeypatch.setattr(lake_desk, "LAKE_WAITING_MAX", 1)
    one = script(desk(seconds_max=3), "import time; time.sleep(60)")

    def wait_in_vain():
        with contextlib.suppress(LakeDeskError):
            one.ask("usage", BY_MEMBER)

    first = threading.Thread(target=wait_in_vain)
    first.start()
    while one._lake._process is None:
        time.sleep(0.01)
    began = time.monotonic()
    with pytest.raises(LakeDeskError, match="too many questions wait") as caught:
        one.ask("usage", {**BY_MEMBER, "by": "model"})
    assert caught.value.kind == BUSY
    assert time.monotonic() - began < 1
    first.join()


def test_the_oldest_answers_make_room(desk, monkeypatch):
    monkeypatch.setattr(lake_desk, "LAKE_ANSWERS_BYTES_MAX", 400)
    one = desk()
    for by in ("member", "model", "department"):
        one.ask("usage", {**BY_MEMBER, "by": by})
    assert one._kept_bytes == sum(len(kept.text) for kept in one._kept.values()) <= 400
    assert 1 <= len(one._kept) < 3


def test_a_picture_is_drawn_while_the_lake_is_busy(desk):
    one = desk()
    one._lake._asking.acquire()
    picture = document(sized(bars([("Ada", 2 * CREDIT), ("<Bo>", CREDIT)], unit="credits"), 400, 80), "")
    drawn = one.draw(picture, "spend", "Ada & Bo")
    one._lake._asking.release()
    assert drawn.count("<svg ") == 2
    for size in ("wide", "narrow"):
        assert f'class="picture {size}" role="img" aria-labelledby="spend-{size}"' in drawn
        assert f'<title id="spend-{size}">Ada &amp; Bo</title>' in drawn
    assert "&lt;Bo&gt;" in drawn
    assert "style=" not in drawn
    assert "graphics-" not in drawn
    assert "<script" not in drawn
    assert "var(--accent)" in drawn
