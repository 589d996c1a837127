"""What rounds of against.py say: a table for the terminal and for docs/performance.md, and docs/images/peers.svg.

usage: python -m bench.against_chart bench/results/peers-DATE.json
"""

from __future__ import annotations

import json
import math
import statistics
import sys
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any

from bench.lines import Result
from bench.machine import HERE

START, END = "<!-- peers start -->", "<!-- peers end -->"
WORK = {"calls-1k": "calls of 1 kB", "calls-76k": "calls of 76 kB", "streams": "streamed chunks"}
"""What is counted per CPU-second."""
NGINX, DIRECT = "nginx", "direct"
OURS = {"ours": "tokenroll with its ledger", "gateway": "tokenroll, gateway alone"}
LABEL, WIDTH, ROW, BAR, MARGIN, GAP = 210, 480, 24, 14, 20, 46
LEAST = 0.001
"""Of nginx: where the picture's bars begin; each further line is ten times as much."""
STYLE = """
    .name, .figure { fill: #14213d; font-size: 13px; }
    .figure { font-variant-numeric: tabular-nums; }
    .head { fill: #14213d; font-size: 15px; font-weight: 650; }
    .note { fill: #5b6b85; font-size: 12px; }
    .others { fill: #9aa9bf; }
    .ours { fill: #0f766e; }
    .rule { stroke: #d7dee8; stroke-width: 1; }
    @media (prefers-color-scheme: dark) {
      .name, .figure, .head { fill: #f1f5f9; }
      .note { fill: #9fb0c7; }
      .others { fill: #6b7f9c; }
      .ours { fill: #5eead4; }
      .rule { stroke: #3a4a61; }
    }
"""


def cost(one: dict[str, Any], samples: dict[str, Result], system: str) -> float:
    """CPU microseconds for one call or chunk, of all processes of a system; of `gateway` those of our gateway alone."""
    result = samples[one["ours"] if system in OURS else system]
    return float(result["near_us"]) + (0.0 if system == "gateway" else float(result.get("far_us", 0)))


def median(
    found: dict[str, Any], test: str, value: Callable[[dict[str, Any], dict[str, Result]], float]
) -> float | None:
    """The median over rounds of what `value` reads from a round and its samples of a test; none where none has what it needs."""
    values = []
    for one in found["rounds"]:
        try:
            values.append(value(one, one["samples"].get(test, {})))
        except KeyError:
            continue
    return statistics.median(values) if values else None


def of_nginx(found: dict[str, Any], system: str, test: str) -> float | None:
    """How many times nginx's calls or chunks per CPU-second; `ours` is whatever ours was in each round."""
    return median(found, test, lambda one, samples: cost(one, samples, NGINX) / cost(one, samples, system))


def of_ours(found: dict[str, Any], system: str, test: str) -> float | None:
    """How many of its calls or chunks ours does with the same CPU time."""
    return median(found, test, lambda one, samples: cost(one, samples, system) / cost(one, samples, "ours"))


def delay(found: dict[str, Any], round_of: str, system: str, quantile: str) -> float | None:
    """What a system adds to a call at that round's rate, in microseconds."""

    def added(one: dict[str, Any], samples: dict[str, Result]) -> float:
        if one["with"] != round_of:
            raise KeyError(round_of)
        return float(
            samples[one["ours"] if system in OURS else system]["due_us"][quantile] - samples[DIRECT]["due_us"][quantile]
        )

    return median(found, "latency", added)


def systems(found: dict[str, Any]) -> list[tuple[str, str]]:
    """Those with a figure and their titles, the least CPU time for a call first."""
    named_so = {NGINX: "nginx", **OURS, **found["titles"]}
    best = {name: max((of_nginx(found, name, test) or 0 for test in WORK), default=0) for name in named_so}
    return sorted(((name, named_so[name]) for name in named_so if best[name]), key=lambda one: -best[one[0]])


def share(value: float | None) -> str:
    """A ratio as people read it."""
    return "" if value is None else f"{value:.3g}" if value < 10 else f"{value:,.0f}"


def markdown(found: dict[str, Any]) -> str:
    """Both tables, and who has not run."""
    rows = [
        "| per CPU-second, × nginx | " + " | ".join(WORK.values()) + " | ours for one of its calls |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, title in systems(found):
        figures = [share(of_nginx(found, name, test)) for test in WORK]
        times = "" if name in OURS else share(of_ours(found, name, "calls-1k"))
        rows.append(f"| {title}{version(found, name)} | {' | '.join(figures)} | {times} |")
    rows += [
        "",
        "| added at so many calls a second | p50 | p99 | nginx in the same rounds | ours |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, title in found["titles"].items():
        rounds = [one for one in found["rounds"] if name in one["samples"].get("latency", {})]
        if rounds:
            beside = [pair(found, rounds[-1]["with"], system) for system in (NGINX, "ours")]
            own = [milliseconds(delay(found, rounds[-1]["with"], name, quantile)) for quantile in ("p50", "p99")]
            rows.append(f"| {title}, {rounds[-1]['rate']:,} | {own[0]} ms | {own[1]} ms | {beside[0]} | {beside[1]} |")
    if found["not_run"]:
        rows += [
            "",
            "Not run: "
            + "; ".join(f"{found['titles'].get(name, name)} ({why})" for name, why in found["not_run"].items())
            + ".",
        ]
    return "\n".join(rows)


def version(found: dict[str, Any], name: str) -> str:
    return f" {found['versions'][name]}" if name in found["versions"] else ""


def milliseconds(micros: float | None) -> str:
    return "" if micros is None else f"{micros / 1000:.2f}"


def pair(found: dict[str, Any], round_of: str, system: str) -> str:
    return f"{milliseconds(delay(found, round_of, system, 'p50'))} / {milliseconds(delay(found, round_of, system, 'p99'))} ms"


def table(found: dict[str, Any]) -> str:
    """The same for a terminal, one figure a line."""
    rows = []
    for name, title in systems(found):
        for test, what in WORK.items():
            if (ratio := of_nginx(found, name, test)) is not None:
                rows.append(
                    f"{title + version(found, name):<34} {what + ' per CPU-second':<33} {share(ratio):>7} × nginx"
                )
    rows += [f"not run: {found['titles'].get(name, name)}: {why}" for name, why in found["not_run"].items()]
    return "\n".join(rows)


def length(ratio: float) -> float:
    """Of a bar, on a scale by tens."""
    return WIDTH * max(0.0, 1 - math.log10(max(ratio, LEAST)) / math.log10(LEAST))


def svg(found: dict[str, Any]) -> str:
    """One group of bars for each kind of work, on a scale by tens that ends at nginx."""
    parts, y = [], MARGIN
    shown = [one for one in systems(found) if one[0] != NGINX]
    for test, what in WORK.items():
        figures = [(name, title, ratio) for name, title in shown if (ratio := of_nginx(found, name, test))]
        figures.sort(key=lambda one: -one[2])
        bottom = y + 18 + ROW * len(figures)
        parts.append(f'<text x="{MARGIN}" y="{y + 4}" class="head">{what} per CPU-second, as a share of nginx</text>')
        for power in range(4):
            x = LABEL + WIDTH * power / 3
            parts.append(f'<line x1="{x:.0f}" y1="{y + 14}" x2="{x:.0f}" y2="{bottom}" class="rule"/>')
            parts.append(
                f'<text x="{x:.0f}" y="{bottom + 14}" text-anchor="middle" class="note">{LEAST * 10**power:g}</text>'
            )
        for index, (name, title, ratio) in enumerate(figures):
            top, kind = y + 18 + index * ROW, "ours" if name in OURS else "others"
            parts += [
                f'<text x="{LABEL - 8}" y="{top + 12}" text-anchor="end" class="name">{escape(title)}</text>',
                f'<rect x="{LABEL}" y="{top + 1}" width="{length(ratio):.1f}" height="{BAR}" rx="2" class="{kind}"/>',
                f'<text x="{LABEL + length(ratio) + 8:.1f}" y="{top + 13}" class="figure">{share(ratio)}</text>',
            ]
        y = bottom + GAP
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {LABEL + WIDTH + 80} {y - 20}" role="img" aria-labelledby="title desc"'
        " font-family=\"ui-sans-serif, system-ui, -apple-system, 'Segoe UI', sans-serif\">"
    )
    told = "Bars on a scale by tens: what each gateway does per CPU-second beside plain nginx in the same rounds."
    title = f'<title id="title">Gateways beside nginx</title><desc id="desc">{told}</desc>'
    return "\n".join([head, title, f"<style>{STYLE}</style>", *parts, "</svg>"]) + "\n"


def draw(found: dict[str, Any], source: Path) -> None:
    """The picture, and the tables between their marks in docs/performance.md."""
    docs, last = HERE.parent / "docs", found["rounds"][-1]
    (docs / "images/peers.svg").write_text(svg(found), encoding="utf-8")
    rounds = {
        name: sum(one["with"] == name for one in found["rounds"])
        for name in dict.fromkeys(one["with"] for one in found["rounds"])
    }
    brief = [name for name in rounds if any(one["quick"] for one in found["rounds"] if one["with"] == name)]
    short = f" ({', '.join(brief)}: short)" * bool(brief)
    origin = (
        f"From `bench/results/{source.name}`: {last['at'][:10]}, commit {last['commit']}, rounds: "
        f"{', '.join(f'{name} {count}' for name, count in rounds.items())}{short}; {last['cores']} virtual cores, Python {last['python']}, {last['nginx']}."
    )
    page = docs / "performance.md"
    before, _, rest = page.read_text(encoding="utf-8").partition(START)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{START}\n{origin}\n\n{markdown(found)}\n{END}{after}", encoding="utf-8")


def main() -> int:
    source = Path(sys.argv[1])
    draw(json.loads(source.read_text(encoding="utf-8")), source)
    return 0


if __name__ == "__main__":
    sys.exit(main())
