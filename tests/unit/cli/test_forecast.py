"""`tokenroll forecast`: figures, their accuracy, pictures, and sentences where there is nothing to say."""

import json
from types import SimpleNamespace

import pytest

from tests.lake_kit import DAY, MONDAY, event
from tests.made_home import home_of
from tokenroll.cli import main
from tokenroll.store import lake_libraries
from tokenroll.store.lake import open_lake
from tokenroll.store.lake_manifest import Disk

USD = 10**9
DAYS = 35
AFTER = ("--from", "2026-02-09", "--no-seal")
PEOPLE = (("Ada", "Engineering", 3), ("Bo", "Engineering", 1), ("Cleo", "Design", 2))


class QuickDisk(Disk):
    def sync(self, path):
        pass


def usage(*, even=True):
    """One call a day of each at noon; every other week half as much more, unless all days are even."""
    return [
        event(
            1_000 * place + day,
            MONDAY + day * DAY + DAY // 2,
            member=name,
            department=team,
            list_cost_nanos=usd * (USD if even or day // 7 % 2 else USD * 3 // 2),
        )
        for place, (name, team, usd) in enumerate(PEOPLE)
        for day in range(DAYS)
    ]


def home_with(tmp_path, monkeypatch, events):
    home_of(tmp_path, monkeypatch, ("init", "--name", "Acme", "--zone", "UTC"))
    with open_lake(tmp_path / "home" / "lake", QuickDisk()) as lake:
        lake.append(events, {"claude-code": len(events)})
    return tmp_path


@pytest.fixture
def home(tmp_path, monkeypatch, capsys):
    found = home_with(tmp_path, monkeypatch, usage())
    capsys.readouterr()
    return found


@pytest.fixture
def uneven(tmp_path, monkeypatch, capsys):
    found = home_with(tmp_path, monkeypatch, usage(even=False))
    capsys.readouterr()
    return found


def said(capsys, *arguments, code=0):
    assert main(["forecast", *arguments]) == code
    return capsys.readouterr()


def test_members_are_shown_with_their_bounds_and_what_it_is_an_estimate_of(home, capsys):
    shown = said(capsys, "show", "--by", "member", *AFTER)
    assert (
        "The 30 days from 2026-02-09 to 2026-03-10: 180.00 USD of list cost is expected "
        "(80 %: 180.00 to 180.00; 95 %: 180.00 to 180.00). An estimate from 35 days, sampled past; no amount of the ledger."
    ) in shown.out
    rows = [line.split() for line in shown.out.splitlines() if line.split()[:1] in (["Ada"], ["Bo"], ["Cleo"])]
    assert rows == [
        ["Ada", *["90.00"] * 5],
        ["Cleo", *["60.00"] * 5],
        ["Bo", *["30.00"] * 5],
    ]
    assert "How good that is cannot be said" in shown.out
    assert "a season of the year cannot be seen in so few weeks" in shown.err


def test_the_same_for_programs_is_numbers_in_a_unit_and_no_amounts(home, capsys):
    told = json.loads(said(capsys, "show", "--by", "team", "--until", "2026-02-16", *AFTER, "--json").out)
    assert (told["estimate_of"], told["unit"], told["first"], told["until"]) == (
        "list cost",
        "USD",
        "2026-02-09",
        "2026-02-16",
    )
    assert [(row["name"], row["expected"], row["high_95"]) for row in told["rows"]] == [
        ("Engineering", 28.0, 28.0),
        ("Design", 14.0, 14.0),
    ]
    assert told["total"]["expected"] == 42.0
    assert [row["expected"] for row in told["periods"]] == [6.0] * 7


def test_the_company_is_shown_day_by_day_until_its_cycle_ends(home, capsys):
    shown = said(capsys, "show", "--cycle-end", "--measure", "model_tokens", *AFTER).out
    assert "The 20 days from 2026-02-09 to 2026-02-28: 7 200 model tokens" in shown
    assert any(line.split()[:2] == ["2026-02-28", "360"] for line in shown.splitlines())


def test_scenarios_move_what_is_expected(home, capsys):
    """Ten days at 6, ten at 7.2; then twice the heads."""
    options = ("--days", "20", "--price", "2026-02-19=1.2", "--headcount", "2026-02-09=3:6")
    assert json.loads(said(capsys, "show", *options, *AFTER, "--json").out)["total"]["expected"] == 264.0
    rollout = ("--days", "3", "--rollout", "2026-02-09..2026-02-10=3")
    rows = json.loads(said(capsys, "show", *rollout, *AFTER, "--json").out)["periods"]
    assert [row["expected"] for row in rows] == [12.0, 18.0, 18.0]


def test_the_backtest_alone_is_what_stands_below_the_forecast(uneven, capsys):
    below = json.loads(said(capsys, "show", "--by", "member", "--days", "7", *AFTER, "--json").out)["backtest"]
    alone = json.loads(said(capsys, "backtest", "--by", "member", "--days", "7", *AFTER, "--json").out)
    assert {key: alone[key] for key in below} == below
    assert (alone["series_count"], alone["origin_count"], alone["period_count"]) == (3, 3, 7)
    shown = said(capsys, "backtest", "--by", "member", "--days", "7", *AFTER).out
    assert "List cost by member: 3 series, tried 3 times 7 days ahead" in shown
    assert f"{alone['mase']:.3f}" in shown
    assert "seasonal naive" in shown


def test_a_past_that_is_even_cannot_be_tried(home, capsys):
    assert "35 periods of this past are too few, or too even" in said(capsys, "backtest", *AFTER, code=1).err


def test_pictures_are_files_of_the_kind_that_was_asked_for(uneven, capsys):
    files = {"a.png": b"\x89PNG", "b.svg": b"<svg", "c.pdf": b"%PDF"}
    paths = [str(uneven / name) for name in files]
    options = ("--png", paths[0], "--svg", paths[1], "--image", paths[2])
    shown = said(capsys, "show", "--by", "team", *options, *AFTER).out
    for name, start in files.items():
        assert (uneven / name).read_bytes().startswith(start)
        assert f"written: {uneven / name}" in shown
    assert "must end in .svg, .png, .pdf" in said(capsys, "show", "--image", "picture.gif", code=2).err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--by", "floor"), "--by is company, team, member, model, not 'floor'"),
        (("--measure", "joy"), "--measure is list, net, charge, model_tokens"),
        (("--days", "3", "--cycle-end"), "say the same thing"),
        (("--until", "2026-02-01"), "a forecast is of 1 to 366 days, not -8"),
        (("--until", "soon"), "--until: 'soon' is no day such as 2026-12-15"),
        (("--headcount", "many"), "is not written like 2026-12-15=12:15"),
        (("--headcount", "2026-02-10=0:2"), "begins with nobody"),
        (("--price", "2026-02-10=cheap"), "is not written like 2027-01-01=1.2"),
        (("--rollout", "2026-02-12..2026-02-11=2"), "ends before it begins"),
        (("--price", "2026-12-10=2"), "is not in what is forecast: 2026-02-09 to 2026-03-10"),
        (("--where", "Ada"), "'Ada' is no condition"),
    ],
)
def test_a_question_that_cannot_be_asked_is_wrong_usage(home, capsys, arguments, says):
    assert says in said(capsys, "show", *arguments, *AFTER, code=2).err


def test_too_little_history_says_how_much_there_is(home, capsys):
    told = said(capsys, "show", "--from", "2026-01-10", "--no-seal", "--json", code=1)
    assert json.loads(told.out)["problem"]["detail"] == (
        "the usage lake knows 5 days before 2026-01-10; a forecast needs 21"
    )


def test_without_the_extra_a_person_is_told_what_to_install(home, capsys, monkeypatch):
    def absent(name):
        raise ImportError(name)

    monkeypatch.setattr(lake_libraries, "importlib", SimpleNamespace(import_module=absent))
    assert "install `tokenroll[lake]`" in said(capsys, "show", *AFTER, code=1).err


def test_runway_lists_every_member_and_says_nothing_of_who_has_not_begun(tmp_path, monkeypatch, capsys):
    home_of(
        tmp_path,
        monkeypatch,
        ("init", "--name", "Acme", "--zone", "UTC"),
        ("department", "create", "Engineering"),
        ("member", "create", "Ada", "--department", "Engineering"),
        ("member", "create", "Bo", "--department", "Engineering"),
    )
    capsys.readouterr()
    told = json.loads(said(capsys, "runway", "--json").out)["wallets"]
    assert [(one["name"], one["chance"], one["left"]["amount"]) for one in told] == [
        ("Ada", None, "0.000000000"),
        ("Bo", None, "0.000000000"),
    ]
    shown = said(capsys, "runway", "Bo").out
    assert "Ada" not in shown
    assert "what becomes spendable later in the cycle is not counted" in shown
    assert "no" in said(capsys, "runway", "Dev", code=1).err
    for name, start in {"a.png": b"\x89PNG", "b.svg": b"<svg", "c.pdf": b"%PDF"}.items():
        said(capsys, "runway", "Bo", "--image", str(tmp_path / name))
        assert (tmp_path / name).read_bytes().startswith(start)
    assert "--image draws one wallet: name it" in said(capsys, "runway", "--image", str(tmp_path / "a.png"), code=2).err


def test_infrastructure_is_calls_seats_and_gpus(home, capsys):
    """One GPU at 2 an hour for 720 hours; Ada's job had it for 72 of them. Dev has a seat and used nothing."""
    seats, jobs = home / "seats.csv", home / "jobs.txt"
    seats.write_text("name,usd,count,members\nTeam,80,3,Ada;Dev\n")
    jobs.write_text("JobID|Account|AllocTRES|Elapsed|Start\n1|vision|gres/gpu=1|3-00:00:00|2026-01-20T00:00:00\n")
    options = ("--seats", str(seats), "--gpu-jobs", str(jobs), "--gpus", "1", "--gpu-hour-price", "2")
    told = json.loads(said(capsys, "infrastructure", *options, *AFTER, "--json").out)
    assert (told["metered"]["expected"], told["metered"]["unit"]) == (180.0, "USD")
    seat = told["seats"][0]
    assert (seat["idle_count"], seat["unassigned_count"], seat["above_count"]) == (1, 1, 1)
    assert (seat["month_cost"]["amount"], seat["idle_cost"]["amount"]) == ("240.000000000", "160.000000000")
    gpus = told["gpus"]
    assert (gpus["used_percent"], gpus["month_cost"]["amount"]) == (10.0, "1440.000000000")
    assert gpus["used_hour_cost"] == {"amount": "20.000000000", "unit": "USD"}
    shown = said(capsys, "infrastructure", *options, *AFTER).out
    assert "Calls. The 30 days from 2026-02-09 to 2026-03-10: 180.00 USD of list cost is expected" in shown
    assert "GPUs: 1 440.00 USD in 30 days; 72 of 720 hours were used (10.0 %), 1 296.00 USD of it idle" in shown


def test_infrastructure_without_enough_usage_still_tells_what_is_owned(home, capsys):
    options = ("--gpus", "1", "--gpu-hour-price", "2", "--from", "2026-01-10", "--no-seal")
    shown = said(capsys, "infrastructure", *options).out
    assert "Calls: the usage lake knows 5 days before 2026-01-10" in shown
    assert "no job had a GPU in these days" in shown
    assert "are told by --gpus and --gpu-hour-price" in said(capsys, "infrastructure", "--gpus", "1", code=2).err
    seats = ("--seats", str(home / "none.csv"))
    assert "cannot be read" in said(capsys, "infrastructure", *seats, *AFTER, code=2).err
