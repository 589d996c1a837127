"""The closing line of a run tells the truth, above all when something went wrong."""

from pathlib import Path

import pytest

from scripts import lanes
from scripts.lanes import Run

JUNIT = """<?xml version="1.0"?><testsuites><testsuite>
<testcase classname="t" name="passes"/>
<testcase classname="t" name="expected" ><skipped type="pytest.xfail" message=""/></testcase>
{more}
</testsuite></testsuites>"""
FAILURE = '<testcase classname="t" name="fails"><failure message="no"/></testcase>'
ERROR = '<testcase classname="t" name="breaks"><error message="no"/></testcase>'
SKIP = '<testcase classname="t" name="skips"><skipped type="pytest.skip" message="no browser"/></testcase>'


@pytest.fixture
def run_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(lanes, "IN_CI", False)

    def build(more: str = "", code: int = 0) -> Run:
        junit = tmp_path / "run.xml"
        junit.write_text(JUNIT.format(more=more))
        return Run("A", ["true"], 1, junit=junit, code=code)

    return build


def closing(runs: list[Run], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    code = lanes.close(runs)
    return code, capsys.readouterr().out.splitlines()[-1]


def test_all_passed(run_of, capsys):
    assert closing([run_of()], capsys) == (0, "2 passed, 0 failed")


def test_failures_and_errors_count(run_of, capsys):
    assert closing([run_of(FAILURE + ERROR, code=1)], capsys) == (1, "2 passed, 2 failed")


def test_a_run_that_broke_without_a_failed_test_counts(run_of, capsys):
    assert closing([run_of(code=3)], capsys) == (1, "2 passed, 1 failed")


def test_a_run_without_a_result_file_counts(capsys, tmp_path):
    assert closing([Run("A", ["true"], 1, junit=tmp_path / "none.xml", code=4)], capsys) == (1, "0 passed, 1 failed")


def test_a_failed_check_counts(run_of, capsys):
    assert closing([run_of(), Run("mypy", ["mypy"], 1, code=1)], capsys) == (1, "2 passed, 1 failed")


def test_no_test_at_all_is_a_failure(capsys):
    assert closing([Run("mypy", ["mypy"], 1, code=0)], capsys) == (1, "0 passed, 1 failed")


def test_a_skip_is_told_and_forbidden_in_ci(run_of, capsys, monkeypatch):
    assert closing([run_of(SKIP)], capsys) == (0, "2 passed, 0 failed, 1 skipped")
    monkeypatch.setattr(lanes, "IN_CI", True)
    assert closing([run_of(SKIP)], capsys) == (1, "2 passed, 1 failed")


def test_a_dated_page_has_what_each_failed_test_said(run_of, tmp_path, monkeypatch):
    monkeypatch.setattr(lanes, "ROOT", tmp_path)
    said = FAILURE.replace(
        '"no"', '"Failed: 2 to look at:&#10;openai test_x passes at the provider and fails at the gateway."'
    )
    page = tmp_path / lanes.write_result(run_of(said, code=1))
    assert page.read_text().endswith(
        "\n## t::fails\n\n"
        "    Failed: 2 to look at:\n    openai test_x passes at the provider and fails at the gateway.\n\n- failed: A: t::fails\n"
    )


def test_a_run_that_hangs_is_stopped_with_its_children(tmp_path, monkeypatch):
    monkeypatch.setattr(lanes, "OUT", tmp_path)
    run = Run("A", ["bash", "-c", "sleep 60 & sleep 60"], 0.2)
    lanes.execute(run)
    assert run.code != 0
    assert run.seconds < 10
    assert run.notes == ["stopped after 0 s"]


def test_each_test_is_in_quick_or_in_a_lane():
    run = [lanes.ROOT / name for names in (*lanes.QUICK.values(), *lanes.LANES.values()) for name in names]
    missed = [
        str(path.relative_to(lanes.ROOT))
        for path in (lanes.ROOT / "tests").rglob("test_*.py")
        if path not in run and not {*path.parents} & {*run}
    ]
    assert missed == []
    assert all(path.exists() for path in run)
