"""Live sums as the metrics of others: the text that Prometheus reads, and OpenTelemetry's JSON. Both tell the same families."""

import json
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from tokenroll.model.amount import text_from_nanos
from tokenroll.model.instant import Instant
from tokenroll.services.live_usage import KINDS, Labels, LiveFigures

PROMETHEUS_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_CUMULATIVE: Final = 2
"""AGGREGATION_TEMPORALITY_CUMULATIVE."""
_NANOSECONDS_PER_MICRO: Final = 1_000


class Point(NamedTuple):
    """One value and what it is of. The value is in nanos where its family's is, else whole."""

    labels: tuple[tuple[str, str], ...]
    value: int


class Family(NamedTuple):
    """One metric: its name in either world, what it tells, its unit, and its points."""

    prometheus: str
    open_telemetry: str
    says: str
    unit: str
    points: Sequence[Point]
    is_nanos: bool = False
    is_gauge: bool = False


def families(figures: LiveFigures) -> list[Family]:
    """Every metric of live burn."""
    spent, done = figures.amounts, figures.work
    return [
        Family(
            "tokenroll_burn_credits_total", "tokenroll.burn.credits", "Credits that calls were charged since the ledger began.",
            "{credit}", [Point(_named(one.labels), one.charge_nanos) for one in spent], is_nanos=True,
        ),
        Family(
            "tokenroll_burn_list_cost_usd_total", "tokenroll.burn.list_cost", "What they cost at list prices, in US dollars.",
            "USD", [Point(_named(one.labels), one.list_cost_nanos) for one in spent], is_nanos=True,
        ),
        Family(
            "tokenroll_burn_calls_total", "tokenroll.burn.calls", "Attempts that were settled.",
            "{call}", [Point(_named(one.labels), one.call_count) for one in done],
        ),
        Family(
            "tokenroll_burn_tokens_total", "tokenroll.burn.tokens", "Their model tokens, by kind; no token is of two kinds.",
            "{token}",
            [
                Point((*_named(one.labels), ("kind", kind)), count)
                for one in done
                for kind, count in zip(KINDS, one.counts, strict=True)
                if count
            ],
        ),
        Family(
            "tokenroll_available_credits", "tokenroll.available.credits", "Credits that members and pools of a department may spend now.",
            "{credit}", [Point((("department", name),), nanos) for name, nanos in sorted(figures.available.items())],
            is_nanos=True, is_gauge=True,
        ),
        Family(
            "tokenroll_burn_data_age_seconds", "tokenroll.burn.data_age", "How old these sums are.",
            "s", [Point((), figures.age_seconds)], is_gauge=True,
        ),
        Family(
            "tokenroll_burn_ledger_seq", "tokenroll.burn.ledger_seq", "The last row of the journal that they hold.",
            "{row}", [Point((), figures.through_seq)], is_gauge=True,
        ),
    ]  # fmt: skip


def prometheus_text(figures: LiveFigures) -> str:
    """The families in Prometheus' text format. Amounts have all their digits."""
    return "".join(f"{line}\n" for family in families(figures) for line in _lines(family))


def otlp_metrics(figures: LiveFigures, company: str, version: str, now: Instant) -> bytes:
    """The same as the body of an OTLP/HTTP request in JSON: sums that only grow, counted from the ledger's beginning."""
    metrics = [_metric(family, figures.since_at, now) for family in families(figures) if family.points]
    resource = {"service.name": "tokenroll", "service.version": version, "tokenroll.company": company}
    told = {
        "resourceMetrics": [
            {
                "resource": {"attributes": _attributes(resource.items())},
                "scopeMetrics": [{"scope": {"name": "tokenroll", "version": version}, "metrics": metrics}],
            }
        ]
    }
    return json.dumps(told, separators=(",", ":"), ensure_ascii=False).encode()


def _named(labels: Labels) -> tuple[tuple[str, str], ...]:
    return tuple(zip(("department", "model", "provider"), labels, strict=True))


def _lines(family: Family) -> Iterator[str]:
    yield f"# HELP {family.prometheus} {family.says}"
    yield f"# TYPE {family.prometheus} {'gauge' if family.is_gauge else 'counter'}"
    for point in family.points:
        inside = ",".join(f'{name}="{_escaped(value)}"' for name, value in point.labels)
        value = text_from_nanos(point.value, 0) if family.is_nanos else str(point.value)
        yield f"{family.prometheus}{{{inside}}} {value}" if inside else f"{family.prometheus} {value}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _metric(family: Family, since_at: Instant, now: Instant) -> dict[str, Any]:
    times = {"timeUnixNano": str(now * _NANOSECONDS_PER_MICRO)}
    if not family.is_gauge:
        times["startTimeUnixNano"] = str(since_at * _NANOSECONDS_PER_MICRO)
    points = [{"attributes": _attributes(one.labels), **times, **_value(family, one.value)} for one in family.points]
    told: dict[str, Any] = {"name": family.open_telemetry, "description": family.says, "unit": family.unit}
    if family.is_gauge:
        return {**told, "gauge": {"dataPoints": points}}
    return {**told, "sum": {"dataPoints": points, "aggregationTemporality": _CUMULATIVE, "isMonotonic": True}}


def _value(family: Family, value: int) -> dict[str, Any]:
    """A double is what OTLP has for a decimal; it is the nearest one. 64-bit integers are texts in its JSON."""
    return {"asDouble": value / 10**9} if family.is_nanos else {"asInt": str(value)}


def _attributes(pairs: Any) -> list[dict[str, Any]]:
    return [{"key": name, "value": {"stringValue": value}} for name, value in pairs]
