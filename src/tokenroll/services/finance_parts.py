"""What finance's page has from the usage lake: spend by department and month, why it changed, what comes, and what is not metered."""

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, Final

from tokenroll.insight.broken_meters import LIST_TIMES_MAX, METER_TIMES_MAX
from tokenroll.insight.pictures import Amount, Step, document, sized, spend_by_name
from tokenroll.model.instant import datetime_from_instant
from tokenroll.model.limits import FINANCE_MONTHS
from tokenroll.services.analysis_texts import grouped
from tokenroll.services.cost_answers import (
    explained,
    metered_share,
    month_before,
    odd_days,
    outcome_cost,
    period_of_month,
)
from tokenroll.services.cost_texts import change_picture, unit_of_cost
from tokenroll.services.forecasting import NOBODY, ForecastQuestion, Measure
from tokenroll.services.lake_home import LakeHome
from tokenroll.services.lake_questions import working_days_of
from tokenroll.services.meter_quarantine import WAITING, Judged, LeftOut, judged_calls
from tokenroll.services.outcome_log import OutcomeLog, OutcomeLogError
from tokenroll.services.outcomes import standing
from tokenroll.services.page_parts import Part, amount, amounts, forecast_part, made, part, parts_told, share, table
from tokenroll.store.lake_queries import QuestionError, UsageQuery, answer
from tokenroll.store.lake_schema import DAY_MICROS

_DAYS_AHEAD: Final = 30
_MOVERS_SHOWN: Final = 10
_ODD_SHOWN: Final = 10
_WIDTH: Final = 760
_BY: Final = {"new": "new models", "gone": "models that are gone"}
_STEPS: Final = {
    "volume": "all model tokens, at what one cost in the middle before",
    "mix": "shares between models, at the old prices",
    "price": "what a token of the same model costs more or less",
    "new": "models that were not used before",
    "gone": "models that are used no more",
}


def finance_parts(home: LakeHome, facts: Mapping[str, Any]) -> dict[str, Any]:
    """What the lake says of the company."""
    return parts_told(home, _parts(home, facts))


def _parts(home: LakeHome, facts: Mapping[str, Any]) -> list[Part]:
    """The parts in the order of the page. `month` is the one that is explained, `outcomes` a log of outcomes where there is one."""
    month = facts["month"]
    first_at = facts["now"] // DAY_MICROS * DAY_MICROS
    ahead = ForecastQuestion(
        first_at=first_at, horizon=_DAYS_AHEAD, measure=Measure.LIST, is_working_day=working_days_of(home)
    )  # fmt: skip
    parts = [
        made("spend", "Spend by department cannot be added up", lambda: _spend(home, month)),
        made("change", f"Why {month} changed cannot be said", lambda: _change(home, month)),
        made("forecast", "What comes next cannot be said yet", lambda: forecast_part(home, ahead, "The company", "GET /api/forecasts · tokenroll forecast show")),
        made("share", "The metered share cannot be said", lambda: _share(home, month)),
        made("odd", "What does not fit cannot be said", lambda: _odd(home)),
    ]  # fmt: skip
    if facts["outcomes"]:
        parts.append(
            made("outcomes", "What an accepted outcome costs cannot be said", lambda: _outcomes(home, Path(facts["outcomes"])))
        )  # fmt: skip
    return parts


def _spend(home: LakeHome, month: str) -> Part:
    until = period_of_month(month).until
    first = month
    for _ in range(FINANCE_MONTHS - 1):
        first = month_before(first)
    query = UsageQuery(
        by=("month", "department"), measures=("list",), from_at=period_of_month(first).from_at, until=until
    )  # fmt: skip
    found = answer(home.view, query)
    points = [
        Amount(on=date.fromisoformat(row["month"]), name=row["department"] or NOBODY, nanos=row["list_cost_nanos"] or 0)
        for row in found.rows()
    ]
    if not points:
        raise QuestionError(f"the usage lake knows nothing of the {FINANCE_MONTHS} months to {month}")
    unit = found.currency or "USD"
    sums: dict[str, int] = {}
    for one in points:
        sums[one.name] = sums.get(one.name, 0) + one.nanos
    ranked = sorted(sums, key=lambda name: (-sums[name], name))
    months = sorted({one.on for one in points})
    by_place = {(one.on, one.name): one.nanos for one in points}
    rows = [
        [name, *(amount(by_place.get((on, name), 0)) for on in months), amount(sums[name])] for name in ranked
    ]  # fmt: skip
    totals = [sum(by_place.get((on, name), 0) for name in ranked) for on in months]
    rows.append(["all", *map(amount, totals), amount(sum(totals))])
    here = sum(nanos for (on, _), nanos in by_place.items() if f"{on:%Y-%m}" == month)
    view = spend_by_name(points, unit=unit, what="department", step=Step.MONTH)
    columns = [("Department", False), *((f"{on:%b %Y}", True) for on in months), ("in all", True)]
    return part(
        "spend", f"{_month(month)} cost {amount(here)} {unit} at list; {ranked[0]} spent most of all",
        picture=document(sized(view, _WIDTH, 240), ""), tables=[table(f"List cost, {unit}, by department and month", columns, rows)],
        behind="GET /api/usage?by=department,month&measure=list · tokenroll usage query --by department,month --measure list",
    )  # fmt: skip


def _change(home: LakeHome, month: str) -> Part:
    before = month_before(month)
    found = explained(home.view, period_of_month(before), period_of_month(month), by="member", money="list")
    change, unit = found.change, found.currency or "USD"
    if not change.before_nanos and not change.after_nanos:
        raise QuestionError(f"nothing was used in {before} or in {month}")
    moved = change.after_nanos - change.before_nanos
    step = max(change.steps, key=lambda one: abs(one[1]))
    less = "more" if moved >= 0 else "less"
    steps = [["before", before, amount(change.before_nanos)]]
    steps += [[name, _STEPS.get(name, ""), amount(nanos)] for name, nanos in change.steps]
    steps.append(["after", month, amount(change.after_nanos)])
    movers = [
        [one.name or NOBODY, amount(one.before_nanos), amount(one.after_nanos), amount(one.change_nanos)]
        for one in found.movers[:_MOVERS_SHOWN]
    ]
    return part(
        "change", f"{_month(month)} cost {amount(abs(moved))} {unit} {less} than {_month(before)}, most of it by {_BY.get(step[0], step[0])}",
        picture={**change_picture(found, before, month), "width": _WIDTH},
        tables=[
            table(f"The steps from {before} to {month}, {unit}", [("Step", False), ("is", False), (unit, True)], steps),
            table(f"Who moved most, {unit}, {len(movers)} of {len(found.movers)}",
                  [("Member", False), (before, True), (month, True), ("change", True)], movers),
        ],
        behind=f"GET /api/costs/explain?month={month} · tokenroll cost explain --month {month}",
    )  # fmt: skip


def _share(home: LakeHome, month: str) -> Part:
    found = metered_share(home.view, period_of_month(month), [])
    providers, keys, unit = found.providers, found.keys, unit_of_cost(found.currency, "net")
    billed = [one for one in providers if one.permille is not None]
    title = (
        "What share of the invoices is metered is not known: no cost report of a provider was imported for this month"
    )
    if billed:
        through, whole = sum(one.through_nanos for one in billed), sum(one.billed_nanos or 0 for one in billed)
        title = f"{share(through, whole)} of what providers billed for {_month(month)} went through the gateway"
    rows = [
        [one.provider or NOBODY, amount(one.through_nanos), "–" if one.billed_nanos is None else amount(one.billed_nanos),
         one.report or "–", "–" if one.permille is None else f"{one.permille / 10:.1f} %"]
        for one in providers
    ]  # fmt: skip
    columns = [
        ("Provider", False),
        (f"Through the gateway, {unit}", True),
        (f"Billed in all, {unit}", True),
        ("by", False),
        ("Metered share", True),
    ]
    tables = [table(f"Net cost of {month}", columns, rows)]
    if keys:
        told = [[one.provider, one.key or "–", grouped(one.model_tokens)] for one in keys[:_MOVERS_SHOWN]]
        tables.append(
            table("Keys of imported usage reports", [("Provider", False), ("Key", False), ("Model tokens", True)], told)
        )  # fmt: skip
    behind = f"GET /api/costs/share?month={month} · tokenroll cost share --month {month}"
    says = [
        f"{other.report} bills {amount(other.nanos)} {unit} of {one.provider}, too: the same invoice, so it is not added."
        for one in providers
        for other in one.others
    ]
    return part("share", title, says=says, tables=tables if rows else [], behind=behind)


def _odd(home: LakeHome) -> Part:
    days, without, currency = odd_days(home.view, money="list")
    unit = unit_of_cost(currency, "list")
    judged = judged_calls(home.view)
    says = [
        f"A large call that costs {METER_TIMES_MAX} times what its model's tokens cost in the middle, or over {LIST_TIMES_MAX} times its list price, has a broken meter.",
        "It stays in every sum of money and out of forecasts and scores until somebody confirms it.",
        *_left_out(without),
        f"{len(days)} {'day is' if len(days) == 1 else 'days are'} far above those before."
        if days
        else "No day is far above those before.",
    ]
    tables = []
    if judged:
        shown = sorted(judged, key=lambda one: one.state != WAITING)[:_ODD_SHOWN]
        rows = [
            [f"{datetime_from_instant(one.admitted_at):%Y-%m-%d}", one.member or NOBODY, one.model or NOBODY, amount(one.cost_nanos),
             amount(one.usual_nanos), one.currency, state, one.event_id]
            for one, state in ((one.call, one.state) for one in shown)
        ]  # fmt: skip
        columns = [
            ("Day", False), ("Member", False), ("Model", False), ("Cost", True), ("Its tokens cost elsewhere or at list", True), ("in", False),
            ("State", False), ("Call", False),
        ]  # fmt: skip
        tables.append(table(f"Calls whose meter cannot be right, {len(rows)} of {len(judged)}", columns, rows))
    if days:
        told = [[one.on.isoformat(), amount(one.nanos), amount(one.usual_nanos)] for one in days[-_ODD_SHOWN:]]
        columns = [("Day", False), (f"Cost, {unit}", True), ("Usual", True)]
        tables.append(table("Days far above those before", columns, told))
    behind = "GET /api/costs/anomalies · tokenroll cost anomalies · tokenroll cost meters"
    return part("odd", _quarantine(judged), says=says, tables=tables, behind=behind)


def _quarantine(judged: Sequence[Judged]) -> str:
    """What waits for a person, else that nothing does."""
    left_out = [one for one in judged if one.is_left_out]
    waiting = sum(one.state == WAITING for one in left_out)
    if not left_out:
        return "No call is in quarantine (W12): every meter can be right" + (" or was confirmed" if judged else "")
    calls, their = ("1 call is", "its") if len(left_out) == 1 else (f"{len(left_out)} calls are", "their")
    return f"{calls} in quarantine (W12), {waiting} not decided: {their} meter cannot be right"


def _left_out(without: LeftOut) -> list[str]:
    """The sentence of what an answer does without, where it does."""
    text = without.text()
    return [f"{text[0].upper()}{text[1:]}."] if without.call_count else []


def _outcomes(home: LakeHome, path: Path) -> Part:
    try:
        told = standing(OutcomeLog(path).events())
    except OutcomeLogError as error:
        raise QuestionError(str(error)) from error
    answered = outcome_cost(home.view, told, money="list")
    found, unit = answered.cost, unit_of_cost(answered.currency, "list")
    if found.per_accepted_nanos is None:
        raise QuestionError("no outcome that trackers told of is accepted")
    (per,) = amounts([found.per_accepted_nanos])
    interval = ""
    if found.low_nanos is not None and found.high_nanos is not None:
        low, high = amounts([found.low_nanos, found.high_nanos])
        interval = f" (95 %: {low} to {high})"
    rows = [
        ["accepted", grouped(found.accepted_count)],
        ["of outcomes that trackers told of", grouped(found.outcome_count)],
        [f"spend that names an outcome, {unit}", amount(found.spend_nanos)],
        [f"of it on outcomes that failed, {unit}", amount(found.failed_nanos)],
        [f"spend that names none, {unit}", amount(found.unattributed_nanos)],
    ]
    says = [
        f"{found.failed_permille / 10:.1f} % of what was spent on outcomes went to those that failed.",
        *_left_out(answered.left_out),
    ]
    return part(
        "outcomes", f"An accepted outcome costs {per} {unit} at list{interval}, failures included", says=says,
        tables=[table("Outcomes and what was spent on them", [("What", False), ("Amount", True)], rows)],
        behind="tokenroll cost outcomes",
    )  # fmt: skip


def _month(month: str) -> str:
    return f"{date.fromisoformat(f'{month}-01'):%B %Y}"
