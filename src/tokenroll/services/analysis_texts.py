"""An analysis in words, in JSON and as one picture: what the terminal, the page and programs say alike."""

from collections.abc import Sequence
from typing import Any, Final

from tokenroll.insight import pictures
from tokenroll.insight.analysis import Analysis
from tokenroll.insight.broken_meters import SEEN_WITH
from tokenroll.insight.log_waste import Waste
from tokenroll.insight.month_ahead import MonthAhead
from tokenroll.insight.pictures import Picture
from tokenroll.insight.usage_shares import Share
from tokenroll.model.amount import NANOS_PER_CREDIT, text_from_nanos
from tokenroll.model.instant import text_from_instant
from tokenroll.model.limits import PEOPLE_TOLD_MIN
from tokenroll.services.accuracy_texts import accuracy_json
from tokenroll.services.analysing import Analysed

UNIT: Final = "USD at list price"
_MILLION: Final = 1_000_000
_THOUSAND: Final = 1_000
_BARS_SHOWN: Final = 8
_NAMED_MAX: Final = 5
_WIDTH: Final = 860
_PAST_SHOWN_DAYS: Final = 90


def headline(found: Analysed) -> tuple[str, ...]:
    """Three sentences: how much of what, what it costs at list, what of it was read from caches."""
    analysis = found.analysis
    whole = analysis.total
    first, last = _dates(analysis)
    return (
        f"{usd(whole.list_cost_nanos)} USD at list price, {first} to {last} ({analysis.zone})",
        f"{grouped(whole.call_count)} calls in {grouped(analysis.session_count)} sessions; {_tokens_text(whole)}",
        _caching(analysis),
    )


def ahead_text(found: Analysed) -> tuple[str, ...]:
    """The month ahead in sentences, each with how far the method was off on this very past."""
    analysis = found.analysis
    cost, used = analysis.cost_ahead, analysis.tokens_ahead
    if cost is None or used is None:
        return ("The month ahead: too few days to say; three weeks of them are needed.",)
    first = (
        f"The next {len(cost.days)} days: {_plain(cost.expected)} USD at list price is expected "
        f"(80 %: {_plain(cost.low_80)} to {_plain(cost.high_80)}; 95 %: {_plain(cost.low_95)} to {_plain(cost.high_95)}), "
        f"{tokens(round(used.expected))} model tokens"
    )
    if cost.accuracy is None:
        return (first, "How good that is cannot be said yet: the past is too short to try it on.")
    tried = cost.accuracy
    covered = ", ".join(f"{one.percent:.0f} % of days in the {one.level} % band" for one in tried.coverages)
    second = (
        f"Tried on {tried.origins} months of this past: the month's total was off by {100 * tried.total_wape:.0f} % "
        f"(last week repeated: {100 * tried.naive_total_wape:.0f} %), MASE {tried.mase:.2f} ({tried.naive_mase:.2f}), "
        f"WAPE {tried.wape:.2f} ({tried.naive_wape:.2f}); {covered}"
    )
    return (first, second)


def notes(found: Analysed) -> tuple[str, ...]:
    """What to know before believing the figures."""
    analysis, intake = found.analysis, found.intake
    lines = []
    if analysis.seat_call_count:
        lines.append(
            f"{grouped(analysis.seat_call_count)} calls are from logs of programs that a seat may pay for: "
            "valued at list price, not billed."
        )
    if analysis.unpriced_models:
        names = ", ".join(one.name for one in analysis.unpriced_models[:_NAMED_MAX])
        count = sum(one.call_count for one in analysis.unpriced_models)
        lines.append(f"{grouped(count)} calls have no published price and count as nothing: {names}.")
    if analysis.fast_call_count:
        lines.append(
            f"{grouped(analysis.fast_call_count)} calls in fast mode are valued at the standard price, which is too low."
        )
    if analysis.hours_of_week is None:
        lines.append(
            f"Hours are withheld: of {analysis.member_count} people they would tell each one's habits. They are drawn for one person, "
            f"or for {PEOPLE_TOLD_MIN} and more."
        )
    lines += _meter_notes(analysis)
    lines.append(
        f"{grouped(intake.file_count)} files, {grouped(intake.row_count)} rows; {grouped(intake.repeat_count)} were repeats of a call, "
        f"{grouped(intake.bad_count)} could not be read"
        + "".join(f"; {grouped(number)} {kind}" for kind, number in sorted(intake.other.items()))
        + "."
    )
    lines += [f"  {bad.file}, line {bad.line}: {bad.reason}" for bad in intake.bad_rows[:_NAMED_MAX]]
    if found.seats_as_of:
        lines.append(
            f"Prices of seats as published on {found.seats_as_of}, without taxes; what a seat carries has limits that are not published as counts."
        )
    return tuple(lines)


def _meter_notes(analysis: Analysis) -> list[str]:
    """What is quarantined, and where somebody can decide about it."""
    meters = analysis.meters
    if not meters:
        return []
    cost = usd(sum(one.list_cost_nanos for one in meters))
    calls, stand = ("1 call", "stands") if len(meters) == 1 else (f"{grouped(len(meters))} calls", "stand")
    first = (
        f"{calls} with {cost} USD of list cost {stand} in every sum and in nothing that is said of the month ahead, of seats and of waste, "
        f"since a meter or a price is wrong (W12). Once in a lake (`tokenroll usage import`) somebody can decide: `{SEEN_WITH}`."
    )
    return [
        first,
        *(
            f"  {one.event_id} of {one.source} costs {usd(one.cost_nanos)} {one.currency}, {grouped(one.times)} times what its tokens cost elsewhere"
            for one in meters[:_NAMED_MAX]
        ),
    ]


def analysis_json(found: Analysed) -> dict[str, Any]:
    """All of it for programs; amounts are decimal strings of USD."""
    analysis = found.analysis
    return {
        "currency": "USD",
        "zone": analysis.zone,
        "first_at": text_from_instant(analysis.first_at),
        "last_at": text_from_instant(analysis.last_at),
        "session_count": analysis.session_count,
        "seat_call_count": analysis.seat_call_count,
        "total": _share(analysis.total),
        "meters": {meter.value: count for meter, count in analysis.counts.items()},
        **{
            name: [_share(one) for one in getattr(analysis, name)]
            for name in ("by_member", "by_model", "by_project", "by_source", "by_month", "unpriced_models")
        },
        "days": [
            {
                "on": day.on.isoformat(),
                "call_count": day.call_count,
                "model_tokens": day.model_tokens,
                "list_cost": _amount(day.list_cost_nanos),
            }
            for day in analysis.days
        ],
        "hours_of_week": None
        if analysis.hours_of_week is None
        else [[_amount(nanos) for nanos in row] for row in analysis.hours_of_week],
        "waste": _waste_json(analysis),
        "month_ahead": {
            "list_cost": _ahead_json(analysis.cost_ahead),
            "model_tokens": _ahead_json(analysis.tokens_ahead),
        },
        "broken_meters": [
            {
                "source": one.source,
                "event_id": one.event_id,
                "model": one.model,
                "cost": _amount(one.cost_nanos),
                "usual": _amount(one.usual_nanos),
            }
            for one in analysis.meters
        ],
        "seats": [
            {
                "name": one.seat.name,
                "provider": one.seat.provider,
                "month_price": _amount(one.seat.month_nanos),
                "month_count": one.month_count,
                "above_count": one.above_count,
                "list_cost": _amount(one.list_cost_nanos),
                "seat_cost": _amount(one.seat_cost_nanos),
                "saved": _amount(one.saved_nanos),
            }
            for one in analysis.seats
        ],
        "intake": found.intake.summary(),
    }


def analysis_parts(found: Analysed) -> dict[str, Picture]:
    """The pictures of the page by their names."""
    analysis = found.analysis
    step = _step(analysis)
    spend = pictures.spend_by_name(analysis.model_days, unit="USD", what="model", step=step)
    mix = pictures.spend_by_name(analysis.model_days, unit="list cost", what="model", step=step, share=True)
    fan = _fan(analysis)
    return {
        **({"ahead": pictures.document(pictures.sized(fan, _WIDTH - 100, 200), "The month ahead")} if fan else {}),
        "spend": pictures.document(pictures.sized(spend, _WIDTH - 220, 240), f"List cost a {step}, by model"),
        "mix": pictures.document(pictures.sized(mix, _WIDTH - 220, 160), "Mix of models"),
        **_hours_part(analysis),
    }


def _hours_part(analysis: Analysis) -> dict[str, Picture]:
    if analysis.hours_of_week is None:
        return {}
    hours = pictures.hours_of_week(analysis.hours_of_week, unit="USD at list")
    return {"hours": pictures.document(pictures.sized(hours, _WIDTH - 220, 170), "When")}


def analysis_picture(found: Analysed) -> Picture:
    """All of it as one picture to send around."""
    analysis = found.analysis
    lines = headline(found)
    step = _step(analysis)
    spend = pictures.spend_by_name(analysis.model_days, unit="USD", what="model", step=step)
    half = (_WIDTH - 140) // 2
    projects = pictures.titled(pictures.bars(_bar_rows(analysis.by_project), unit=UNIT), "By project")
    below = pictures.sized(projects, half - 60 if analysis.hours_of_week else _WIDTH - 220, 150)
    if analysis.hours_of_week:
        hours = pictures.titled(pictures.hours_of_week(analysis.hours_of_week, unit="USD"), "When")
        below = pictures.beside_each_other(below, pictures.sized(hours, half - 40, 150))
    view = pictures.above_each_other(
        pictures.sized(pictures.titled(spend, f"List cost a {step}, by model"), _WIDTH - 60, 220), below
    )
    fan = _fan(analysis)
    if fan is not None:
        ahead = pictures.sized(pictures.titled(fan, "The month ahead"), _WIDTH - 60, 160)
        view = {**view, "vconcat": [*view["vconcat"], ahead]}
    return pictures.document(view, lines[0], subtitle=lines[1])


def usd(nanos: int) -> str:
    """Two decimals, half to even, thousands apart."""
    cents = round(nanos, -7) // (NANOS_PER_CREDIT // 100)
    sign = "-" if cents < 0 else ""
    return f"{sign}{grouped(abs(cents) // 100)}.{abs(cents) % 100:02d}"


def usd_parts(nanos: Sequence[int]) -> list[str]:
    """Parts as `usd` prints their sum: their cents add up to it. What rounding leaves over goes to the largest remainders."""
    cent = NANOS_PER_CREDIT // 100
    cents = [one // cent for one in nanos]
    left = round(sum(nanos), -7) // cent - sum(cents)
    by_remainder = sorted(range(len(nanos)), key=lambda place: (-(nanos[place] % cent), place))
    for place in by_remainder[:left]:
        cents[place] += 1
    return [usd(one * cent) for one in cents]


def waste_costs(waste: Waste) -> list[str]:
    """What could have been avoided, finding by finding: those of a kind add up to what is said of the kind."""
    places = [place for kind in (True, False) for place, one in enumerate(waste.findings) if one.rule.is_hard is kind]
    texts = [
        text
        for kind in (True, False)
        for text in usd_parts([one.avoidable_nanos for one in waste.findings if one.rule.is_hard is kind])
    ]
    return [text for _, text in sorted(zip(places, texts, strict=True))]


def _plain(estimate: float) -> str:
    return f"{estimate:,.2f}".replace(",", " ")


def grouped(count: int) -> str:
    """An integer, thousands apart."""
    return f"{count:,}".replace(",", " ")


def tokens(count: int) -> str:
    """A count of model tokens as people say it: `798.0 million`."""
    if count < 10 * _THOUSAND:
        return grouped(count)
    if count < _MILLION:
        return f"{count / _THOUSAND:.0f} thousand"
    return f"{count / _MILLION:,.1f} million".replace(",", " ")


def _dates(analysis: Analysis) -> tuple[str, str]:
    return analysis.days[0].on.isoformat(), analysis.days[-1].on.isoformat()


def _tokens_text(whole: Share) -> str:
    read = 100 * whole.cache_read_tokens // whole.input_tokens if whole.input_tokens else 0
    return f"{tokens(whole.input_tokens)} model tokens in, of which {read} % from caches, {tokens(whole.output_tokens)} out"


def _step(analysis: Analysis) -> pictures.Step:
    return pictures.step_for(analysis.days[0].on, analysis.days[-1].on)


def _caching(analysis: Analysis) -> str:
    cache = analysis.waste.cache
    if not cache.saved_nanos and not cache.premium_nanos:
        return "No call read from a provider's cache or wrote to one."
    verb = "saved" if cache.net_nanos >= 0 else "cost more than it saved, by"
    less = min(cache.saved_nanos, cache.premium_nanos)
    net, part = usd_parts([abs(cache.net_nanos), less])
    whole = usd(less + abs(cache.net_nanos))
    saved, premium = (whole, part) if cache.net_nanos >= 0 else (part, whole)
    return f"Prompt caching {verb} {net} USD: {saved} on reads, less {premium} for writes"


def _fan(analysis: Analysis) -> dict[str, Any] | None:
    """The last days that were and the ones to come; None where nothing is said of those."""
    ahead = analysis.cost_ahead
    if ahead is None:
        return None
    past = [(day.on, day.list_cost_nanos / NANOS_PER_CREDIT) for day in analysis.days[-_PAST_SHOWN_DAYS - 1 : -1]]
    return pictures.forecast_fan(past, ahead.days, unit="USD a day", now=ahead.days[0].on)


def _ahead_json(ahead: MonthAhead | None) -> dict[str, Any] | None:
    """An estimate: numbers, no amounts."""
    if ahead is None:
        return None
    tried = ahead.accuracy
    return {
        "expected": ahead.expected,
        "low_80": ahead.low_80,
        "high_80": ahead.high_80,
        "low_95": ahead.low_95,
        "high_95": ahead.high_95,
        "days": [
            {"on": day.on.isoformat(), "middle": day.middle, "low_80": day.low_80, "high_80": day.high_80}
            for day in ahead.days
        ],
        "backtest": None if tried is None else accuracy_json(tried, len(ahead.days)),
    }


def _bar_rows(rows: tuple[Share, ...]) -> list[tuple[str, int]]:
    shown = [(row.name, row.list_cost_nanos) for row in rows[:_BARS_SHOWN]]
    rest = sum(row.list_cost_nanos for row in rows[_BARS_SHOWN:])
    return [*shown, (pictures.OTHERS, rest)] if rest else shown


def _waste_json(analysis: Analysis) -> dict[str, Any]:
    waste = analysis.waste
    return {
        "hard": _amount(waste.hard_nanos),
        "soft": _amount(waste.soft_nanos),
        "cache_saved": _amount(waste.cache.saved_nanos),
        "cache_premium": _amount(waste.cache.premium_nanos),
        "findings": [
            {
                "rule": one.rule.id,
                "title": one.rule.title,
                "kind": "hard" if one.rule.is_hard else "soft",
                "advice": one.rule.advice,
                "call_count": one.call_count,
                "session_count": one.session_count,
                "avoidable": _amount(one.avoidable_nanos),
            }
            for one in waste.findings
        ],
    }


def _share(one: Share) -> dict[str, Any]:
    return {
        "name": one.name,
        "call_count": one.call_count,
        "unpriced_count": one.unpriced_count,
        "input_tokens": one.input_tokens,
        "cache_read_tokens": one.cache_read_tokens,
        "output_tokens": one.output_tokens,
        "list_cost": _amount(one.list_cost_nanos),
    }


def _amount(nanos: int) -> str:
    return text_from_nanos(nanos, 2)
