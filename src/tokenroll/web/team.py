"""`/team`: what one's own team spent this cycle, who runs dry before it ends, and what comes next; for an admin any department."""

from collections.abc import Callable
from typing import Any, Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from tokenroll.model.api_key import KeyScope
from tokenroll.model.limits import TEAM_SHOWN_MAX
from tokenroll.services.lake_desk import LakeDeskError
from tokenroll.services.page_parts import amounts, share, table
from tokenroll.services.reporting import Reports, Visitor
from tokenroll.services.team_reports import (
    Team,
    TeamWallet,
    manages,
    spend_picture,
    team_of_department,
    team_of_manager,
)
from tokenroll.store.lake_meters import MeterCall
from tokenroll.web.door import Door
from tokenroll.web.pictures import lake_parts, picture_part

_UNIT: Final = "credits"
_NAMED: Final = 3
_SPEND_BEHIND: Final = (
    "GET /api/usage?by=member,day&measure=charge · tokenroll usage query --by member,day --measure charge"
)
_RUNWAY_BEHIND: Final = "GET /api/runways · tokenroll forecast runway"
"""How an admin asks for the same: a manager has neither the key nor the machine for it."""


def team(door: Door) -> Callable[[Request], Response]:
    """One's own reports; an admin chooses a department. Nobody else learns of others."""

    def page(request: Request, reports: Reports, visitor: Visitor) -> Response:
        department = request.query_params.get("department", "").strip()
        is_admin = visitor.scope == KeyScope.ADMIN
        if department and not is_admin:
            raise HTTPException(403, "Departments are for whoever administers this home: log in with an admin key.")
        departments = [one["name"] for one in reports.departments()] if is_admin else []
        if not department and not manages(reports.connection, visitor.member_id):
            if not is_admin:
                raise HTTPException(
                    403,
                    "Nobody reports to you here, so there is no team to show. HR's file of members says who reports to whom.",
                )
            return door.page(request, "team.html", visitor=visitor, team=None, department="", departments=departments, parts=[], lake=_NO_LAKE)  # fmt: skip
        door.reader.lake.prepare()
        quarantined = _quarantined(door)
        found = (
            team_of_department(reports, department, visitor.zone, quarantined)
            if department
            else team_of_manager(reports, visitor.member_id, visitor.zone, quarantined)
        )
        return door.page(
            request, "team.html", visitor=visitor, team=found, department=department, departments=departments,
            parts=[_spend(door, found, is_admin=is_admin), _wallets(found, is_admin=is_admin)], lake=_lake(door, reports, visitor, found, department),
        )  # fmt: skip

    return door.for_visitor(page)


_NO_LAKE: Final[dict[str, Any]] = {"parts": [], "newest_at": None, "missing": ""}


def _quarantined(door: Door) -> list[MeterCall]:
    """Calls that no pace is taken from; while the lake cannot say, wallets are shown all the same, and the lake's own parts say why."""
    try:
        return door.reader.lake.quarantined()
    except LakeDeskError:
        return []


def _lake(door: Door, reports: Reports, visitor: Visitor, found: Team, department: str) -> dict[str, Any]:
    names = [one.name for one in found.wallets]
    if not names:
        return _NO_LAKE
    where = [["department", department]] if department else [["member", name] for name in sorted(names)]
    facts = {
        "where": where,
        "people": sorted(one.name for one in found.wallets if one.is_person),
        "zone": visitor.zone,
        "now": door.today_at(reports.now),
        "behind": f"tokenroll forecast show --measure charge --where 'department={department}'" if department else "",
    }
    return lake_parts(door.reader.lake, "team", facts)


def _spend(door: Door, found: Team, *, is_admin: bool) -> dict[str, Any]:
    """The stack of the cycle, and every day of it as numbers."""
    if not found.spent_nanos:
        return picture_part(
            door.reader.lake, None, "spend", f"Nothing was spent in {found.cycle} so far",
            says=["The picture of who spent what comes with the first call."],
        )  # fmt: skip
    ranked = sorted((one for one in found.wallets if one.spent_nanos), key=lambda one: (-one.spent_nanos, one.name))
    told = amounts([one.spent_nanos for one in ranked])
    rows = [
        [one.name, told[place], share(one.spent_nanos, found.spent_nanos)]
        for place, one in enumerate(ranked[:TEAM_SHOWN_MAX])
    ]
    (whole,) = amounts([found.spent_nanos])
    days: dict[Any, int] = {}
    for one in found.days:
        days[one.on] = days.get(one.on, 0) + one.nanos
    by_day = amounts(list(days.values()))
    return picture_part(
        door.reader.lake, spend_picture(found), "spend",
        f"The team spent {whole} {_UNIT} in {found.cycle} so far, {ranked[0].name} {rows[0][2]} of it",
        tables=[
            table(f"Charged in {found.cycle} by member", [("Member", False), (f"Spent, {_UNIT}", True), ("Share", True)], rows),
            table("Charged a day (UTC), all together", [("Day", False), (f"Spent, {_UNIT}", True)],
                  [[f"{on:%-d %b %Y}", by_day[place]] for place, on in enumerate(days)]),
        ],
        behind=_SPEND_BEHIND if is_admin else "",
    )  # fmt: skip


def _wallets(found: Team, *, is_admin: bool) -> dict[str, Any]:
    """Who runs dry, in words, and every wallet below."""
    shown = found.wallets[:TEAM_SHOWN_MAX]
    left, spent = amounts([one.runway.left_nanos for one in shown]), amounts([one.spent_nanos for one in shown])
    rows = [[one.name, left[place], spent[place], *_dry(one)] for place, one in enumerate(shown)]
    columns = [
        ("Member", False), (f"Left, {_UNIT}", True), (f"Spent in {found.cycle}, {_UNIT}", True), ("Runs dry", True),
        ("10 % by", True), ("50 % by", True), ("90 % by", True),
    ]  # fmt: skip
    says = [
        "Estimates from daily spending: today counts as a day to come, and what becomes spendable later in the cycle is not counted."
    ]
    without = sum(one.runway.left_out.call_count for one in found.wallets)
    if without:
        calls = "1 call" if without == 1 else f"{without} calls"
        says.append(f"No pace is taken from {calls} whose meter cannot be right (W12) and that nobody confirmed.")
    if len(shown) < len(found.wallets):
        says.append(f"The {len(shown)} likeliest to run dry of {len(found.wallets)}.")
    title = _starved(found)
    return {
        "name": "wallets", "title": title, "says": says, "svg": "", "shown": True,
        "tables": [table(f"What each has left and how long it lasts, {found.cycle}", columns, rows)],
        "behind": _RUNWAY_BEHIND if is_admin else "",
    }  # fmt: skip


def _starved(found: Team) -> str:
    count = len(found.starved)
    if not count:
        return "Nobody is likely to run dry before the cycle ends"
    names = [one.name for one in found.starved[:_NAMED]]
    more = f" and {count - len(names)} more" if count > len(names) else ""
    are = "is" if count == 1 else "are"
    return f"{', '.join(names)}{more} {are} likely to run dry before the cycle ends"


def _dry(one: TeamWallet) -> list[str]:
    chance = one.runway.chance
    if chance is None:
        return ["too few days", "–", "–", "–"]
    return [f"{100 * chance:.0f} %", *("–" if on is None else f"{on:%-d %b}" for on in one.runway.dry_on)]
