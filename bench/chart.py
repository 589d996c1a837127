"""The speed budget as a picture and as text: writes docs/images/speed.svg and the table of docs/performance.md.

usage: python -m bench.chart bench/results/DATE.json
"""

from __future__ import annotations

import json
import sys
from html import escape
from pathlib import Path
from typing import Any

from bench.lines import lines_of
from bench.machine import HERE

ROW, BAR_HEIGHT, LABEL, WIDTH, MARGIN = 26, 14, 430, 420, 20
MET, MISSED, TOLD = "#2e7d32", "#b3541e", "#7a8599"

START, END = "<!-- figures start -->", "<!-- figures end -->"
Line = dict[str, Any]


def share(line: Line) -> float:
    """How far the figure is on the way to its bar; 1 is just met, more is better."""
    bar, measured = line["bar"], max(line["measured"], 1e-9)
    return float(measured / bar if line["sense"] == ">=" else bar / measured)


def colour(line: Line) -> str:
    return TOLD if line["met"] is None else MET if line["met"] else MISSED


def svg(lines: list[Line], facts: dict[str, Any]) -> str:
    """One bar a line, as long as the figure is near its demand; the stroke is the demand itself."""
    shown = [line for line in lines if line["bar"] is not None]
    height = MARGIN * 2 + ROW * len(shown) + 24
    full = WIDTH / 2
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {LABEL + WIDTH + 130} {height}" font-family="sans-serif" font-size="12">',
        f"<title>Speed against its demands, {escape(facts['at'][:10])}</title>",
        "<style>text { fill: #14213d; } @media (prefers-color-scheme: dark) { text { fill: #f1f5f9; } line { stroke: #f1f5f9; } }</style>",
        "<desc>Each bar is the measured figure as a share of what is demanded; the vertical line is the demand.</desc>",
    ]
    for index, line in enumerate(shown):
        y = MARGIN + index * ROW
        length = min(share(line), 2.0) * full
        figure = f"{line['measured']:,g} {line['unit']}".strip()
        demand = f"{line['sense']} {line['bar']:,g}".replace(">=", "≥").replace("<=", "≤")
        parts += [
            f'<text x="{LABEL - 8}" y="{y + 12}" text-anchor="end">{escape(line["what"])}</text>',
            f'<rect x="{LABEL}" y="{y + 2}" width="{length:.1f}" height="{BAR_HEIGHT}" fill="{colour(line)}"/>',
            f'<text x="{LABEL + max(length, full) + 8:.1f}" y="{y + 13}">{escape(figure)} ({escape(demand)})</text>',
        ]
    bottom = MARGIN + ROW * len(shown)
    parts += [
        f'<line x1="{LABEL + full}" y1="{MARGIN - 6}" x2="{LABEL + full}" y2="{bottom}" stroke="#222" stroke-dasharray="3 3"/>',
        f'<text x="{LABEL + full}" y="{bottom + 16}" text-anchor="middle">the demand</text>',
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def markdown(lines: list[Line]) -> str:
    """The same as a table."""
    rows = ["| what | demanded | measured | |", "|---|---:|---:|---|"]
    for line in lines:
        demand = (
            "" if line["bar"] is None else f"{line['sense']} {line['bar']:,g}".replace(">=", "≥").replace("<=", "≤")
        )
        met = {True: "met", False: "**not met**", None: ""}[line["met"]]
        rows.append(f"| {line['what']} | {demand} | {line['measured']:,g} {line['unit']} | {met} |")
    return "\n".join(rows)


def main() -> int:
    source = Path(sys.argv[1])
    found = json.loads(source.read_text(encoding="utf-8"))
    lines = lines_of(found["samples"])  # with what is demanded by now
    docs = HERE.parent / "docs"
    (docs / "images/speed.svg").write_text(svg(lines, found["facts"]), encoding="utf-8")
    facts = found["facts"]
    rounds = max(len(results) for systems in found["samples"].values() for results in systems.values())
    origin = (
        f"From `bench/results/{source.name}`: {facts['at'][:10]}, commit {facts['commit']}, {rounds} round(s), "
        f"{'short, ' if facts['quick'] else ''}load average {facts['load_average_after']}, {facts['cores']} virtual cores, Python {facts['python']}, {facts['nginx']}."
    )
    page = docs / "performance.md"
    before, _, rest = page.read_text(encoding="utf-8").partition(START)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{START}\n{origin}\n\n{markdown(lines)}\n{END}{after}", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
