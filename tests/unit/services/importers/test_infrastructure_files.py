"""Files of what is owned: as Slurm, OpenCost and people write them."""

import pytest

from tokenroll.insight.infrastructure import GpuJob, OwnedSeat
from tokenroll.services.importers.infrastructure_files import read_gpu_jobs, read_seats
from tokenroll.services.importers.intake import SourceError

USD = 10**9
NOON = 1_767_614_400_000_000  # 2026-01-05T12:00:00Z
SACCT = """JobID|User|Account|AllocTRES|Elapsed|Start|State
101|ada|vision|billing=8,cpu=8,gres/gpu:a100=2,gres/gpu=2,mem=64G,node=1|1-02:03:04|2026-01-05T12:00:00|COMPLETED
101.batch|||cpu=8,gres/gpu:a100=2,gres/gpu=2|1-02:03:04|2026-01-05T12:00:00|COMPLETED
102|bo||gres/gpu:a100=1,gres/gpu:h100=3|00:30:00|2026-01-05T12:00:00|CANCELLED by 1001
103|bo|text|cpu=4,mem=8G|00:30:00|2026-01-05T12:00:00|COMPLETED
104|bo|text|gres/gpu=1|00:00:00|Unknown|PENDING
"""


@pytest.fixture
def file(tmp_path):
    def written(name, text):
        path = tmp_path / name
        path.write_text(text)
        return path

    return written


def test_slurms_jobs_are_told_once_each_with_all_their_gpus(file):
    assert read_gpu_jobs(file("jobs.txt", SACCT)) == (
        GpuJob(account="vision", gpu_count=2, seconds=93_784, started_at=NOON),
        GpuJob(account="bo", gpu_count=4, seconds=1_800, started_at=NOON),
    )


def test_the_same_columns_as_csv_and_opencosts_allocations(file):
    text = 'JobID,Account,AllocTRES,Elapsed,Start\n7,vision,"cpu=1,gres/gpu=1",01:00:00,2026-01-05T12:00:00\n'
    assert read_gpu_jobs(file("jobs.csv", text)) == (
        GpuJob(account="vision", gpu_count=1, seconds=3_600, started_at=NOON),
    )
    text = "name,gpuHours,gpuCost,totalCost\ntraining,12.5,30,41\nweb,0,0,3\n"
    assert read_gpu_jobs(file("opencost.csv", text)) == (
        GpuJob(account="training", gpu_count=1, seconds=45_000, started_at=None),
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a,b\n1,2\n", "has neither the columns of sacct"),
        (SACCT.replace("1-02:03:04|2026", "long|2026", 1), "line 2: Elapsed 'long' is no time"),
        (SACCT.replace("2026-01-05T12:00:00", "soon", 1), "line 2: Start 'soon' is no time"),
        (SACCT + "105|bo\n", "line 7: 2 cells under 7 columns"),
        ("name,gpuHours\ntraining,many\n", "line 2: gpuHours 'many' is no number"),
        ("name,gpuHours\ntraining,-1\n", "lie between 0 and"),
    ],
)
def test_a_line_that_cannot_be_read_is_named(file, text, says):
    with pytest.raises(SourceError, match=says):
        read_gpu_jobs(file("jobs.txt", text))


def test_seats_are_read_from_toml_and_csv_alike(file):
    known = (
        OwnedSeat(name="Team", month_nanos=30 * USD, count=3, members=("Ada", "Bo")),
        OwnedSeat(name="Max", month_nanos=99_500_000_000, count=1),
    )
    toml = '[[seat]]\nname = "Team"\nusd = "30"\ncount = 3\nmembers = ["Ada", "Bo"]\n[[seat]]\nname = "Max"\nusd = 99.5\ncount = 1\n'
    assert read_seats(file("seats.toml", toml)) == known
    assert read_seats(file("seats.csv", "name,usd,count,members\nTeam,30,3,Ada; Bo\nMax,99.5,1,\n")) == known


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("seats.toml", "", "holds no seats"),
        ("seats.toml", "[[seat", "is no TOML"),
        ("seats.toml", '[[seat]]\nname = "Team"\ncount = 1\n', "seat 1: usd is missing"),
        ("seats.csv", "name,usd\nTeam,30\n", "has no column count"),
        ("seats.csv", "name,usd,count\nTeam,much,1\n", "line 2: "),
        ("seats.csv", "name,usd,count,members\nTeam,3,1,Ada;Bo\n", "line 2: Team: 2 members have 1 seats"),
        ("absent.csv", None, "cannot be read: No such file"),
    ],
)
def test_seats_that_cannot_be_are_refused_with_their_place(file, tmp_path, name, text, says):
    path = tmp_path / name if text is None else file(name, text)
    with pytest.raises(SourceError, match=says):
        read_seats(path)
