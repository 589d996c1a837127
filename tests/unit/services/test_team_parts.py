"""A team's page tells amounts to its manager, and models and hours only of five people and more."""

import pytest

from tests.lake_kit import DAY, HOUR, MONDAY, event
from tokenroll.services.lake_home import LakeHome
from tokenroll.services.team_parts import team_parts
from tokenroll.store.lake import open_lake, read_lake

CREDIT = 1_000_000_000
TEAM = ("Ada", "Dev", "Eve", "Fay", "Gus", "Nightly agent")
NOW = MONDAY + 35 * DAY


@pytest.fixture
def said(tmp_path):
    """What the page says of a team whose members made a call each on every day of five weeks, at ten in Berlin."""

    def ask(people, members=TEAM, active=TEAM, charge=lambda _day: CREDIT, **changes):
        directory = tmp_path / "lake"
        with open_lake(directory) as lake:
            events = [
                event(
                    day * 100 + number,
                    MONDAY + day * DAY + 9 * HOUR,
                    member=name,
                    charge_nanos=charge(day),
                    requested_model="owl" if day < 17 or name == "Ada" else "fox",
                )
                for day in range(35)
                for number, name in enumerate(active)
            ]
            lake.append(events, {"story": 1})
            lake.roll_up()
        facts = {
            "where": [["member", name] for name in members], "people": list(people), "zone": "Europe/Berlin", "now": NOW, "behind": "",
        } | changes  # fmt: skip
        with read_lake(directory) as view:
            told = team_parts(LakeHome(directory, tmp_path / "none").with_view(view), facts)
        return {one["name"]: one for one in told["parts"]}

    return ask


def test_five_people_are_told_their_models_and_hours(said):
    parts = said(TEAM[:5])
    assert list(parts) == ["forecast", "mix", "hours"]
    # 17 days of six owls, then 18 of one owl and five foxes
    assert parts["mix"]["title"] == "fox moved most: 0.0 % of the charge before 22 January, 83.3 % since"
    assert parts["mix"]["tables"][0]["rows"] == [
        ["owl", "120.00", "57.1 %", "100.0 %", "16.7 %"],
        ["fox", "90.00", "42.9 %", "0.0 %", "83.3 %"],
    ]
    assert parts["hours"]["tables"][0]["rows"][10] == ["10", *["30.00"] * 7]
    assert parts["hours"]["tables"][0]["rows"][9] == ["09", *["0.00"] * 7]
    assert "0.0 % of the charge falls before 8 or after 20 h" in parts["hours"]["title"]


@pytest.mark.parametrize(
    ("people", "active"),
    [
        (TEAM[:4], TEAM),  # four people and a service account, and one who is no member any more
        (TEAM[:5], TEAM[:4]),  # five of whom four used anything
        ((), TEAM),
    ],
)
def test_fewer_are_not_told_alone_under_no_name(said, people, active):
    parts = said(people, active=active)
    assert list(parts) == ["forecast", "habits"]
    assert parts["habits"]["title"] == "Models and hours are not told of so few"
    assert "is told of 5 and more, so that nobody is told alone" in parts["habits"]["says"][0]
    assert "owl" not in str(parts)


def test_others_usage_is_none_of_the_teams(said):
    parts = said(TEAM[:5], members=TEAM[:5], active=(*TEAM[:5], "Zoe"))
    whole = sum(float(row[1]) for row in parts["mix"]["tables"][0]["rows"])
    assert whole == 175.0


def test_the_forecast_names_its_error_beside_it(said):
    part = said(TEAM[:5], charge=lambda day: CREDIT * (1 + day % 5))["forecast"]
    assert part["title"].startswith("The team is expected to cost ")
    assert part["tables"][1]["caption"] == "How far off the same way was on this past"
    assert [column[0] for column in part["tables"][1]["columns"]][:3] == ["Method", "MASE", "WAPE"]
    assert "no amount of the ledger" in part["says"][0]
    assert part["svg"].count("<svg ") == 2
    assert len(part["tables"][0]["rows"]) == 30


def test_what_is_even_goes_on_and_cannot_be_tried(said):
    part = said(TEAM[:5])["forecast"]
    assert part["title"] == "The team is expected to cost 180.00 credits in 30 days (80 %: 180.00 to 180.00)"
    assert "How good that is cannot be said" in part["says"][1]


def test_too_short_a_past_says_so_in_the_place_of_the_picture(said):
    parts = said(TEAM[:5], now=MONDAY + 10 * DAY)
    assert parts["forecast"]["title"] == "What comes next cannot be said yet"
    assert parts["forecast"]["says"] == ["The usage lake knows 10 days before 2026-01-15; a forecast needs 21."]
    assert parts["forecast"]["svg"] == ""


def test_an_empty_lake_has_no_newest_call(tmp_path):
    facts = {"where": [["member", "Ada"]], "people": ["Ada"], "zone": "UTC", "now": NOW, "behind": ""}
    with read_lake(tmp_path / "lake") as view:
        told = team_parts(LakeHome(tmp_path / "lake", tmp_path / "none").with_view(view), facts)
    assert told["newest_at"] is None
    assert [one["svg"] for one in told["parts"]] == ["", ""]
