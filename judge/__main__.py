"""`python -m judge --gateway tokenroll [--only T1,T4] [--json FILE]`: the table of one gateway, or of several side by side."""

import argparse
import asyncio
import json
import sys
from pathlib import Path

from judge.adapters import GATEWAYS
from judge.report import as_json, scorecard, table
from judge.running import chosen, judged


def main(argv: list[str] | None = None) -> int:
    """0: every promise that was tried is kept; 1: one is broken; 2: it could not be asked so, or nothing could be tried."""
    parser = argparse.ArgumentParser(prog="judge", description="Tries a gateway's promises about money from outside.")
    parser.add_argument(
        "--gateway", action="append", choices=sorted(GATEWAYS), help="may be repeated; default tokenroll"
    )
    parser.add_argument("--only", default="", help="scenarios by number, such as T1,T10")
    parser.add_argument("--seed", type=int, default=1, help="the same seed sends the same calls")
    parser.add_argument("--short", action="store_true", help="fewer calls in each scenario")
    parser.add_argument("--json", type=Path, dest="json_path", help="also write the findings here")
    options = parser.parse_args(argv)
    try:
        numbers = chosen(options.only)
    except KeyError as error:
        parser.error(f"no scenario is called {error.args[0]}")
    trials = [
        asyncio.run(judged(GATEWAYS[name](), numbers, seed=options.seed, scale=5 if options.short else 1, say=print))
        for name in options.gateway or ["tokenroll"]
    ]
    print("\n\n".join([*(table(one) for one in trials), scorecard(trials)]))
    if options.json_path:
        options.json_path.write_text(json.dumps(as_json(trials), indent=1) + "\n")
    verdicts = [row.verdict for one in trials for row in one.rows]
    return 1 if "broken" in verdicts or "error" in verdicts else 0 if "kept" in verdicts else 2


if __name__ == "__main__":
    sys.exit(main())
