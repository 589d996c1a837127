"""Questions to the usage lake as texts name them, and their answers as programs are told them: one meaning at every door."""

import io
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import date
from typing import Any, Final

from sqlalchemy import Connection

from tokenroll.insight.outlook import Method
from tokenroll.model.instant import HOUR_MICROS, Instant, instant_from_text
from tokenroll.model.limits import (
    ENTERED_AT_MAX,
    ENTERED_AT_MIN,
    FORECAST_DAYS_AHEAD_MAX,
    FORECAST_HOURS_AHEAD_MAX,
    USAGE_TOLD_ROWS_MAX,
)
from tokenroll.model.usage_event import GATEWAY
from tokenroll.services.cost_answers import (
    Period,
    explained,
    metered_share,
    month_before,
    odd_days,
    period_of_month,
)
from tokenroll.services.cost_texts import anomalies_json, change_json, share_json, unit_of_cost
from tokenroll.services.forecast_texts import forecast_json
from tokenroll.services.forecasting import ForecastQuestion, Level, Measure, forecast_usage
from tokenroll.services.hours_of_few import answer_of_enough
from tokenroll.services.lake_home import LakeHome
from tokenroll.services.meter_quarantine import judged_calls, quarantined
from tokenroll.services.pay_days import pay_day_rule, working_days
from tokenroll.services.refusal import Refused
from tokenroll.services.usage_answers import write_json
from tokenroll.store.lake_queries import (
    OF_ONE_PERSON,
    Condition,
    QuestionError,
    UsageQuery,
    condition_from_text,
)
from tokenroll.store.lake_schema import DAY_MICROS

MEASURES_DEFAULT: Final = "calls,model_tokens,list,charge"
_DAYS: Final = 30
_HOURLY_DAYS: Final = 2


def usage_query(
    by: str,
    measure: str,
    where: Sequence[str],
    period: tuple[Instant | None, Instant | None],
    order: str,
    limit: int | None,
) -> UsageQuery:
    """The question that these texts name, names apart by commas. Raises QuestionError, also for the hours of persons."""
    conditions = tuple(condition_from_text(one) for one in where)
    if "hour" in _names(by):
        _refuse_hours_of_one((*_names(by), *(one.dimension for one in conditions)))
    return UsageQuery(
        by=_names(by),
        measures=_names(measure),
        where=conditions,
        from_at=period[0],
        until=period[1],
        order=_names(order),
        limit=limit,
    )


def usage_told(home: LakeHome, facts: Mapping[str, Any]) -> Any:
    """What `usage query --json` says of the same question. Raises QuestionError, also for an answer that is too long to tell."""
    limit = facts["limit"]
    if limit is not None and limit > USAGE_TOLD_ROWS_MAX:
        raise QuestionError(f"limit: at most {USAGE_TOLD_ROWS_MAX} rows are told here, not {limit}")
    period = (_time(facts["from"], "from"), _time(facts["until"], "until"))
    asked = usage_query(
        facts["by"], facts["measure"], facts["where"], period, facts["order"], limit or USAGE_TOLD_ROWS_MAX + 1
    )
    found = answer_of_enough(home.view, asked)
    if found.table.num_rows > USAGE_TOLD_ROWS_MAX:
        raise QuestionError(
            f"the answer has more than {USAGE_TOLD_ROWS_MAX} rows: ask with fewer dimensions, a shorter period or a limit"
        )
    text = io.StringIO()
    write_json(found, text)
    return json.loads(text.getvalue())


def forecast_told(home: LakeHome, facts: Mapping[str, Any]) -> Any:
    """What `forecast show --json` says of the same question. Raises QuestionError and ForecastError."""
    for name, known in (("by", Level), ("measure", Measure)):
        if facts[name] not in set(known):
            raise QuestionError(f"{name} is {', '.join(known)}, not {facts[name]!r}")
    hourly = facts["hourly"]
    per_day = 24 if hourly else 1
    horizon = (facts["days"] or (_HOURLY_DAYS if hourly else _DAYS)) * per_day
    most = FORECAST_HOURS_AHEAD_MAX if hourly else FORECAST_DAYS_AHEAD_MAX
    if not 1 <= horizon <= most:
        raise QuestionError(f"a forecast is of 1 to {most} {'hours' if hourly else 'days'}, not {horizon}")
    conditions = _conditions(facts)
    if hourly:
        _refuse_hours_of_one((facts["by"], *(one.dimension for one in conditions)))
    asked = ForecastQuestion(
        first_at=_first(facts, hourly=hourly),
        horizon=horizon,
        by=Level(facts["by"]),
        measure=Measure(facts["measure"]),
        is_hourly=hourly,
        method=Method.LIGHT,
        where=conditions,
        is_working_day=working_days_of(home),
    )
    return forecast_json(forecast_usage(home.view, asked))


def change_told(home: LakeHome, facts: Mapping[str, Any]) -> Any:
    """What `cost explain --json` says of the same months. Raises QuestionError."""
    after = _month(facts["month"], "month")
    before = _month(facts["against"] or month_before(facts["month"]), "against")
    where = _conditions(facts)
    found = explained(home.view, before, after, by=facts["by"], money=facts["cost"], where=where)
    return change_json(found, facts["cost"])


def anomalies_told(home: LakeHome, facts: Mapping[str, Any]) -> Any:
    """What `cost anomalies --json` says. Raises QuestionError."""
    where = _conditions(facts)
    days, without, currency = odd_days(home.view, money=facts["cost"], where=where)
    meters = judged_calls(home.view, UsageQuery(where=where))
    return anomalies_json(days, without, unit_of_cost(currency, facts["cost"]), meters)


def share_told(home: LakeHome, facts: Mapping[str, Any]) -> Any:
    """What `cost share --json` says of the same month and keys. Raises QuestionError."""
    month = _month(facts["month"], "month")
    found = metered_share(home.view, month, facts["our_key"], report=facts["report"], where=_conditions(facts))
    return share_json(found)


def quarantined_told(home: LakeHome, _facts: Mapping[str, Any]) -> Any:
    """The gateway's calls that no pace of a wallet is taken from, each as the fields of a MeterCall."""
    of_gateway = Condition(dimension="source", operator="=", value=GATEWAY)
    return [list(one) for one in quarantined(home.view, UsageQuery(where=(of_gateway,)))]


def working_days_of(home: LakeHome) -> Callable[[date], bool] | None:
    """Which days are working days in the country of the company's pay days; None where it named none."""
    if not home.has_ledger:
        return None
    with home.connect() as snapshot:
        return company_working_days(snapshot.connection)


def company_working_days(connection: Connection) -> Callable[[date], bool] | None:
    """The same for whoever reads the ledger already; None, too, without the library of holidays: no page is refused for it."""
    rule = pay_day_rule(connection)
    if rule is None or not rule.country:
        return None
    with suppress(Refused):
        return working_days(rule)
    return None


def _refuse_hours_of_one(dimensions: Sequence[str]) -> None:
    """Law 10. Also as a condition: hours of one person, or of all but one, are that person's hours. Raises QuestionError."""
    if set(dimensions) & OF_ONE_PERSON:
        raise QuestionError(
            "the hours of one person are theirs alone: ask for hours by department, or for persons by day"
        )


def _conditions(facts: Mapping[str, Any]) -> tuple[Condition, ...]:
    return tuple(condition_from_text(one) for one in facts["where"])


def _first(facts: Mapping[str, Any], *, hourly: bool) -> Instant:
    """The beginning of the named day, else of the day or hour that runs."""
    if facts["from"] is not None:
        named = _time(facts["from"], "from")
        assert named is not None
        return named // DAY_MICROS * DAY_MICROS
    width = HOUR_MICROS if hourly else DAY_MICROS
    now: Instant = facts["now"]
    return now // width * width


def _time(text: str | None, name: str) -> Instant | None:
    """A day's beginning in UTC, or an instant. Raises QuestionError."""
    if text is None:
        return None
    try:
        at = instant_from_text(text if "T" in text.upper() else f"{date.fromisoformat(text).isoformat()}T00:00:00Z")
    except (ValueError, OverflowError) as error:
        raise QuestionError(
            f"{name}: {text!r} is no day such as 2026-11-30, and no time such as 2026-11-30T09:00:00Z"
        ) from error
    if not ENTERED_AT_MIN <= at <= ENTERED_AT_MAX:
        raise QuestionError(f"{name}: {text} must lie in the years from 2000 to 2999")
    return at


def _month(text: str, name: str) -> Period:
    try:
        return period_of_month(text)
    except ValueError as error:
        raise QuestionError(f"{name}: {text!r} is no month such as 2026-11") from error


def _names(text: str) -> tuple[str, ...]:
    return tuple(one.strip() for one in text.split(",") if one.strip())
