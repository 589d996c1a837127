"""The lines of the speed budget: what is demanded, what the samples say, met or not."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

Result = dict[str, Any]
Samples = dict[str, dict[str, list[Result]]]
"""test -> system -> one result a round."""
SYSTEMS = ("written", "synced", "written-full", "synced-full", "written-source", "synced-source", "written-full-source")
"""Durability, of the program as `make wheel` builds it for installing, or as it runs from a checkout, where nothing is compiled; `full` with
everything switched on (home.py).

Demands are on what is installed; the checkout is measured for comparison."""
PLAIN_SQLITE_REFERENCE = 445_000
"""Settlements a second of bench/micro/plain_sqlite.py on the machine on which 110,000 folded ones were demanded."""
SYNC_FACTOR, SYNC_MICROS = 3, 400


def paired(samples: Samples, first: tuple[str, str], second: tuple[str, str]) -> list[tuple[Result, Result]]:
    """The results of two (test, system) of the same rounds."""
    one = samples.get(first[0], {}).get(first[1], [])
    other = samples.get(second[0], {}).get(second[1], [])
    return list(zip(one, other, strict=False))


def median_of(pairs: list[tuple[Result, Result]], value: Callable[[Result, Result], float]) -> float | None:
    return statistics.median(value(one, other) for one, other in pairs) if pairs else None


def line(what: str, sense: str, bar: float | None, measured: float | None, unit: str = "") -> Result:
    """One line; `sense` is >= or <=. A line without a bar is told for comparison only."""
    met = None if bar is None or measured is None else measured >= bar if sense == ">=" else measured <= bar
    rounded = None if measured is None else round(measured, 3 if abs(measured) < 10 else 0)
    return {"what": what, "sense": sense, "bar": bar, "measured": rounded, "unit": unit, "met": met}


def demanded(system: str, bar: float | None) -> float | None:
    """The bar, where it is one: a checkout has none. What is on changes no demand."""
    return None if system.endswith("-source") else bar


def durability(system: str) -> str:
    """Of which durability a system is."""
    return system.partition("-")[0]


def lines_of(samples: Samples) -> list[Result]:
    """Every line that the samples speak of."""
    found = [
        *_call_lines(samples),
        *_stream_lines(samples),
        *_paced_lines(samples),
        *_latency_lines(samples),
        *_busy_lines(samples),
        *_fold_lines(samples),
    ]
    return [one for one in found if one["measured"] is not None]


def _call_lines(samples: Samples) -> list[Result]:
    lines = []
    bars = {("calls-1k", "written"): 0.50, ("calls-1k", "synced"): 0.45}
    for test, size, other in (("calls-1k", "1 kB", None), ("calls-76k", "76 kB", 0.45), ("calls-300k", "300 kB", 0.40)):
        for system in SYSTEMS:
            pairs = paired(samples, (test, "nginx"), (test, system))
            ratio = median_of(pairs, lambda nginx, ours: nginx["near_us"] / ours["near_us"])
            bar = demanded(system, bars.get((test, durability(system)), other))
            lines.append(line(f"{size} calls per CPU-second, gateway, {system}", ">=", bar, ratio, "× nginx"))
    for system in SYSTEMS:
        pairs = paired(samples, ("calls-1k", "nginx"), ("calls-1k", system))
        ratio = median_of(pairs, lambda nginx, ours: nginx["near_us"] / (ours["near_us"] + ours["far_us"]))
        bar = demanded(system, 0.33)
        lines.append(line(f"1 kB calls per CPU-second, gateway and ledger, {system}", ">=", bar, ratio, "× nginx"))
    for system in SYSTEMS:
        pairs = paired(samples, ("calls-1k", "nginx"), ("rotating-1k", system))
        ratio = median_of(pairs, lambda nginx, ours: nginx["near_us"] / ours["near_us"])
        lines.append(line(f"the same, another key and wallet every call, {system}", ">=", None, ratio, "× nginx"))
    return lines


def _stream_lines(samples: Samples) -> list[Result]:
    lines = []
    for test, words in (("streams", "usage asked for by the client"), ("streams-injected", "usage asked for by us")):
        for system in SYSTEMS:
            pairs = paired(samples, ("streams", "nginx"), (test, system))
            ratio = median_of(pairs, lambda nginx, ours: ours["near_us"] / nginx["near_us"])
            bar = demanded(system, 1.25)
            lines.append(line(f"CPU per streamed chunk, {words}, {system}", "<=", bar, ratio, "× nginx"))
    return lines


def _paced_lines(samples: Samples) -> list[Result]:
    lines = []
    for system in ("nginx", *SYSTEMS):
        pairs = paired(samples, ("paced", "direct"), ("paced", system))
        for quantile in ("p50", "p99"):
            added = median_of(pairs, lambda direct, ours, q=quantile: ours["lat_us"][q] - direct["lat_us"][q])  # type: ignore[misc]
            bar = demanded(system, 2000.0) if (quantile == "p99" and system != "nginx") else None
            lines.append(line(f"added {quantile} of an event of 3,000 paced streams, {system}", "<=", bar, added, "µs"))
    return lines


def _latency_lines(samples: Samples) -> list[Result]:
    lines = []
    for system in ("nginx", *SYSTEMS):
        pairs = paired(samples, ("latency", "direct"), ("latency", system))
        for quantile in ("p50", "p99"):
            added = median_of(pairs, lambda direct, ours, q=quantile: ours["due_us"][q] - direct["due_us"][q])  # type: ignore[misc]
            bars = {("written", "p50"): 300.0, ("written", "p99"): 2000.0}
            bar = demanded(system, bars.get((durability(system), quantile)))
            if (durability(system), quantile) == ("synced", "p50") and demanded(system, 1):
                sync = median_of(pairs, lambda _, ours: ours["fdatasync_us"]["p50"])
                bar = None if sync is None else round(SYNC_FACTOR * sync + SYNC_MICROS)
            lines.append(line(f"added latency {quantile} at 3,000 calls/s, {system}", "<=", bar, added, "µs"))
    return lines


def _busy_lines(samples: Samples) -> list[Result]:
    lines = []
    for system in ("direct", *SYSTEMS):
        late = [(one, one) for one in samples.get("busy", {}).get(system, [])]
        measured = median_of(late, lambda ours, _: ours["due_us"]["p999"])
        bar = None if system == "direct" else demanded(system, 10_000.0)
        what = f"p99.9 at 3,000 calls/s, 5,000 folded, usage imported and pages read, {system}"
        lines.append(line(what, "<=", bar, measured, "µs"))
    return lines


def _fold_lines(samples: Samples) -> list[Result]:
    results = samples.get("fold", {}).get("ledger", [])
    if not results:
        return []
    rate = statistics.median(float(one["settlements_per_second"]) for one in results)
    wallets, batch = results[0]["wallets"], results[0]["batch_attempts"]
    plain = [float(one["settlements_per_second"]) for one in samples["fold"].get("plain", [])]
    ratio = statistics.median(
        float(ours["settlements_per_second"]) / peer for ours, peer in zip(results, plain, strict=False)
    )
    what = f"settlements folded a second, {wallets:,} wallets, batch {batch:,}"
    bar = round(110_000 / PLAIN_SQLITE_REFERENCE, 3)
    return [line(what, ">=", 110_000, rate), line(f"{what}, against plain SQLite", ">=", bar, ratio, "× plain")]


def table(lines: list[Result]) -> str:
    """The lines for a terminal."""
    width = max((len(one["what"]) for one in lines), default=0)
    rows = []
    for one in lines:
        bar = "" if one["bar"] is None else f"{one['sense']} {one['bar']:,g}"
        met = {True: "met", False: "NOT met", None: ""}[one["met"]]
        rows.append(f"{one['what']:<{width}}  {bar:>12}  {one['measured']:>10,g} {one['unit']:<8} {met}".rstrip())
    return "\n".join(rows)
