"""Workers that share a port write their pages of /metrics down, and whoever is asked joins them."""

import asyncio
import itertools
import os
import threading
import time
from pathlib import Path

from tokenroll.gateway import shared_pages
from tokenroll.gateway.metrics import Histogram
from tokenroll.gateway.shared_pages import SharedPages, joined

FIRST = '# TYPE calls counter\ncalls{worker="0"} 3\n# TYPE open gauge\nopen{worker="0"} 1\n'
SECOND = '# TYPE calls counter\ncalls{worker="1"} 4\n# TYPE waits counter\nwaits{worker="1"} 2\n'


def pages(folder):
    """The first worker's, which is asked, and the second one's, which has written."""
    first, second = SharedPages(folder, 0, lambda: FIRST), SharedPages(folder, 1, lambda: SECOND)
    second.write()
    return first, second


def test_each_family_comes_once_with_the_values_of_all(tmp_path):
    first, _ = pages(tmp_path)
    assert first.text() == (
        '# TYPE calls counter\ncalls{worker="0"} 3\ncalls{worker="1"} 4\n# TYPE open gauge\nopen{worker="0"} 1\n'
        '# TYPE waits counter\nwaits{worker="1"} 2\n'
    )


def test_whoever_is_asked_tells_of_itself_as_it_is_now(tmp_path):
    told = [FIRST]
    first = SharedPages(tmp_path, 0, lambda: told[0])
    first.write()
    told[0] = FIRST.replace("3", "5")
    assert first.text() == told[0]


def test_the_order_is_of_the_workers_whoever_is_asked(tmp_path):
    first, second = pages(tmp_path)
    first.write()
    assert second.text() == first.text()


def test_a_worker_that_ended_is_told_no_more(tmp_path):
    first, second = pages(tmp_path)
    second.remove()
    assert first.text() == FIRST


def test_nor_one_that_has_written_nothing_for_ten_seconds(tmp_path):
    first, _ = pages(tmp_path)
    os.utime(tmp_path / "metrics-001", (1_000, 1_000))
    assert first.text() == FIRST


def test_nor_one_whose_page_is_of_tomorrow_for_the_clock_was_set_back(tmp_path):
    first, _ = pages(tmp_path)
    tomorrow = time.time() + 86_400
    os.utime(tmp_path / "metrics-001", (tomorrow, tomorrow))
    assert first.text() == FIRST


class SlowDisk:
    """A disk that takes no page until it is let."""

    def __init__(self, monkeypatch):
        self.goes_on = threading.Event()
        self.begun: list[str] = []
        write_text = Path.write_text

        def slowly(path, text, **how):
            self.begun.append(text)
            assert self.goes_on.wait(30)
            return write_text(path, text, **how)

        monkeypatch.setattr(Path, "write_text", slowly)
        monkeypatch.setattr(shared_pages, "WRITE_SECONDS", 0.01)


def test_while_the_disk_is_busy_calls_go_on_and_one_page_at_most_waits_for_it(tmp_path, monkeypatch):
    disk, told = SlowDisk(monkeypatch), itertools.count()
    one = SharedPages(tmp_path, 0, lambda: f"# TYPE calls counter\ncalls {next(told)}\n")

    async def story():
        one.write_on(asyncio.get_running_loop())
        await asyncio.sleep(0.1)
        assert len(disk.begun) == 1
        disk.goes_on.set()
        await asyncio.sleep(0.2)
        one.remove()

    asyncio.run(story())
    assert disk.begun[0] == "# TYPE calls counter\ncalls 0\n"
    assert len(disk.begun) > 1


def test_a_page_that_reaches_the_disk_after_its_workers_end_is_removed(tmp_path, monkeypatch):
    disk = SlowDisk(monkeypatch)
    one = SharedPages(tmp_path, 0, lambda: FIRST)

    async def story():
        one.write_on(asyncio.get_running_loop())
        one.remove()
        disk.goes_on.set()
        assert one._writing is not None
        await one._writing

    asyncio.run(story())
    assert disk.begun == [FIRST]
    assert list(tmp_path.iterdir()) == []


def test_what_was_cut_off_in_writing_is_not_told(tmp_path):
    first, second = pages(tmp_path)
    second.remove()
    (tmp_path / "metrics-001.new").write_text("# TYPE calls cou")
    assert first.text() == FIRST


def test_a_folder_that_is_gone_leaves_a_page_of_ones_own(tmp_path):
    alone = SharedPages(tmp_path / "gone", 0, lambda: FIRST)
    alone.write()
    assert alone.text() == FIRST
    alone.remove()


def test_a_histogram_has_its_worker_in_every_line():
    """Those of two workers would be one and the same series otherwise."""
    histogram = Histogram()
    histogram.add(1)
    lines = list(histogram.lines("added", 'worker="1"'))
    assert lines[1:3] == ['added_bucket{worker="1",le="1e-06"} 0', 'added_bucket{worker="1",le="2e-06"} 1']
    assert lines[-3:] == [
        'added_bucket{worker="1",le="+Inf"} 1',
        'added_sum{worker="1"} 0.000001',
        'added_count{worker="1"} 1',
    ]


def test_joined_twice_it_is_the_same():
    assert joined([joined([FIRST, SECOND])]) == joined([FIRST, SECOND])
