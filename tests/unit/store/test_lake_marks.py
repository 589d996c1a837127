"""Marks of imported files are folded where they are many: the manifest stays small, and what is read twice counts once all the same."""

import itertools
from pathlib import Path

import pytest

from tests.lake_kit import MONDAY, FailingDisk, Stopped, event, sums
from tokenroll.services.forgetting import forget, of_file
from tokenroll.services.importers.attribution import Attribution
from tokenroll.services.importers.detecting import usage_files
from tokenroll.services.importers.intake import Intake
from tokenroll.services.lake_importing import KNOWN_FILES, Reading, import_files
from tokenroll.services.list_prices import ListPrices, published_list_prices
from tokenroll.store import lake_marks
from tokenroll.store.lake import LakeView, open_lake
from tokenroll.store.lake_manifest import NAME
from tokenroll.store.lake_verify import verify_lake

HEADER = "time,model,user,input_tokens,output_tokens\n"


@pytest.fixture(scope="module")
def prices() -> ListPrices:
    return published_list_prices()


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Folding begins with the fourth mark, and two of them lie together."""
    monkeypatch.setattr(lake_marks, "LAKE_MARKS_FOLDED_AT", 3)
    monkeypatch.setattr(lake_marks, "_GROUP_ROWS", 2)


def tables(folder: Path, *numbers: int, rows: int = 1) -> list[Path]:
    folder.mkdir(exist_ok=True)
    for number in numbers:
        lines = [f"2026-01-05T{hour:02}:00:00Z,gpt-4o-mini,ada,{number + 1},0\n" for hour in range(rows)]
        (folder / f"{number}.csv").write_text(HEADER + "".join(lines))
    return [folder / f"{number}.csv" for number in numbers]


def taken(home: Path, prices: ListPrices, paths: list[Path], disk: FailingDisk | None = None) -> Intake:
    intake = Intake()
    with open_lake(home, disk) as lake:
        import_files(lake, usage_files(paths), Reading(prices, Attribution()), intake)
        lake.compact(2)
        lake.roll_up()
    return intake


def test_many_files_leave_a_small_manifest_and_are_known_all_the_same(tmp_path: Path, prices: ListPrices):
    for number in range(10):
        taken(tmp_path / "lake", prices, tables(tmp_path / "logs", number))
    manifest = LakeView(tmp_path / "lake").manifest
    assert (len(manifest.marks), manifest.folded and manifest.folded.count) == (0, 20), (
        "one of a file and one of a table each"
    )
    assert taken(tmp_path / "lake", prices, [tmp_path / "logs"]).other == {KNOWN_FILES: 10}
    grown = taken(tmp_path / "lake", prices, tables(tmp_path / "logs", 3, rows=2))
    assert (grown.notes, sums(tmp_path / "lake", "usage")[:2]) == ([], (11, 59))
    assert verify_lake(LakeView(tmp_path / "lake")) == []


def test_what_is_forgotten_is_forgotten_there_too(tmp_path: Path, prices: ListPrices):
    paths = tables(tmp_path / "logs", *range(6))
    taken(tmp_path / "lake", prices, paths)
    with open_lake(tmp_path / "lake") as lake:
        found = of_file(lake, usage_files(paths[:1])[0], Reading(prices, Attribution()))
        forget(lake, found, "0.csv", MONDAY)
        assert lake.marks_that_begin("file:") == {}
        assert len(lake.marks_that_begin("table:")) == 6
    assert sums(tmp_path / "lake", "usage")[:2] == (5, 20)
    assert taken(tmp_path / "lake", prices, paths).event_count == 6
    assert sums(tmp_path / "lake", "usage")[:2] == (6, 21)


def test_killed_while_it_folds_no_mark_is_lost(tmp_path: Path):
    marks = {f"file:{number}": "whole" for number in range(4)}
    for steps in itertools.count():
        home = tmp_path / f"lake-{steps}"
        with open_lake(home) as lake:
            lake.append([event(1)], {"file:a": "whole:a", **marks})
            lake.fold_marks(("file:",))
            lake.append([], {f"file:{number}": "whole:b" for number in range(2, 9)})
        try:
            with open_lake(home, FailingDisk(steps)) as lake:
                lake.fold_marks(("file:",))
        except Stopped:
            pass
        else:
            break
        with open_lake(home) as lake:
            assert [lake.mark(f"file:{number}") for number in (0, 1, 2, 8, "a")] == [
                "whole",
                "whole",
                "whole:b",
                "whole:b",
                "whole:a",
            ], steps
        assert len(list((home / "marks").iterdir())) == 1
    assert steps > 5


def test_marks_of_others_stay_where_they_are_read(tmp_path: Path):
    with open_lake(tmp_path / "lake") as lake:
        lake.append(
            [event(1)],
            {"gateway": 7, "retained:": "2026-01-01", "file:a": 3, **{f"file:{n}": "whole" for n in range(9)}},
        )
        lake.fold_marks(("file:",))
        assert lake.marks == {"gateway": 7, "retained:": "2026-01-01", "file:a": 3}
        assert [lake.mark(name) for name in ("file:0", "file:8", "file:9", "file:a", "a", "gateway")] == [
            "whole",
            "whole",
            None,
            3,
            None,
            7,
        ]
        assert sorted(lake.marks_that_begin("file:")) == [*(f"file:{n}" for n in range(9)), "file:a"]
        assert lake.marks_that_begin("g") == {"gateway": 7}


def test_a_changed_file_of_marks_is_named(tmp_path: Path):
    with open_lake(tmp_path / "lake") as lake:
        lake.append([event(1)], {f"file:{n}": "whole" for n in range(9)})
        lake.fold_marks(("file:",))
    (path,) = (tmp_path / "lake" / "marks").iterdir()
    path.write_bytes(path.read_bytes() + b"x")
    assert f"marks/{path.name} is not as it was written" in verify_lake(LakeView(tmp_path / "lake"))[0]
    path.unlink()
    assert f"marks/{path.name} is gone" in verify_lake(LakeView(tmp_path / "lake"))[0]
    assert (tmp_path / "lake" / NAME).is_file()
