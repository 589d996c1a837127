"""Our gateway and those of others, each beside plain nginx in the same rounds.

A round measures nginx, ours and one of the others in turn, test by test, at what the slowest of the three can carry. It is added to
the rounds that FILE already has, so that others can be measured one at a time, each when the machine is quiet; a figure is only ever
compared within its round. Who cannot be installed here is named with the reason. QUICK=1: short, and no file unless one is named.

usage: python -m bench.against [--others envoy,litellm,portkey] [--tests calls-1k,…] [--ours written-full] [--rounds N] [--out FILE]
"""

from __future__ import annotations

import argparse
import datetime
import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.against_chart import table
from bench.home import prepared
from bench.lines import Result
from bench.machine import HERE
from bench.measure import QUICK, facts, one_sample, take_place
from bench.other_gateways import Other, others
from bench.subjects import Nginx, Subject, Tokenroll, installed_wheel
from judge.gateway import CannotRunError

TESTS = ("calls-1k", "calls-76k", "streams", "latency")


def complaint(result: Result) -> str:
    """Why a sample says nothing of the system's speed; empty when it does."""
    failed = result.get("non2xx", 0) + result.get("errors", 0) + result.get("errs", 0)
    if failed:
        return f"{failed} calls failed: {' '.join(result.get('stderr', '').split())[:200]}".removesuffix(": ")
    return "" if result.get("answered", result.get("events_s")) else "nothing was answered"


def one_round(name: str, beside: Sequence[Subject], ours: Subject, tests: Sequence[str], turn: int) -> dict[str, Any]:
    """Samples of nginx, ours and these others by test, and why any of them has none."""
    samples: dict[str, dict[str, Result]] = {}
    not_run: dict[str, str] = {}
    rate, count = beside[0].rate, beside[0].streams  # type: ignore[attr-defined]
    for place, test in enumerate(tests):
        systems = [Nginx(), ours, *(one for one in beside if test in one.tests and one.name not in not_run)]  # type: ignore[attr-defined]
        systems += [Subject()] * (test == "latency")
        for subject in systems[(first := (turn + place) % len(systems)) :] + systems[:first]:
            try:
                result = one_sample(subject, test, rate, count)
                why = complaint(result)
            except SystemExit as error:
                result, why = {}, str(error)
            if why and not isinstance(subject, Other):
                raise SystemExit(f"{subject.name}, {test}: {why}")
            if why:
                not_run[subject.name] = f"{test}: {why}"
            else:
                samples.setdefault(test, {})[subject.name] = result
            print(json.dumps({"with": name, "system": subject.name, "test": test, "why": why, **result}), flush=True)
    asked = {"with": name, "ours": ours.name, "rate": rate, "streams": count}
    return {**asked, **facts(), "samples": samples, "not_run": not_run}


def installed(groups: dict[str, list[Other]]) -> tuple[dict[str, str], dict[str, str]]:
    """Versions of those that can be run here, and why the rest cannot, by name."""
    versions: dict[str, str] = {}
    not_run: dict[str, str] = {}
    for name, group in groups.items():
        try:
            versions |= {one.name: one.prepare() for one in group}
        except CannotRunError as error:
            not_run |= {one.name: str(error) for one in group}
            print(f"not run: {name}: {error}", file=sys.stderr, flush=True)
    return versions, not_run


def added(
    found: dict[str, Any], rounds: list[dict[str, Any]], versions: dict[str, str], not_run: dict[str, str]
) -> dict[str, Any]:
    """The file's content with these rounds after its own. Who has run is no longer among those that have not."""
    whole = [*found.get("rounds", []), *rounds]
    reasons = {**found.get("not_run", {}), **not_run}
    for one in whole:
        reasons |= one["not_run"]
    measured = {system for one in whole for samples in one["samples"].values() for system in samples}
    reasons = {name: why for name, why in reasons.items() if name not in measured}
    titles = {one.name: one.title for group in others().values() for one in group}
    return {
        "titles": titles,
        "versions": {**found.get("versions", {}), **versions},
        "not_run": reasons,
        "rounds": whole,
    }


def options_from(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--others", default=",".join(others()))
    parser.add_argument("--tests", default=",".join(TESTS))
    parser.add_argument("--ours", default="written-full", help="DURABILITY[-full][-source]")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--out", type=Path, default=None, help="file of rounds; default bench/results/peers-DATE.json")
    return parser.parse_args(arguments)


def main() -> int:
    options = options_from(sys.argv[1:])
    known = others()
    if unknown := set(options.others.split(",")) - set(known) - {""}:
        raise SystemExit(f"no other gateway is called {', '.join(sorted(unknown))}; known: {', '.join(known)}")
    groups = {name: known[name] for name in options.others.split(",") if name}
    durability, *parts = options.ours.split("-")
    ours = Tokenroll(durability, full="full" in parts, from_source="source" in parts)
    out = options.out or HERE / "results" / f"peers-{datetime.datetime.now(datetime.UTC).date()}.json"
    found = json.loads(out.read_text()) if out.is_file() and (options.out or not QUICK) else {}
    versions, not_run = installed(groups)
    prepared(full=ours.full)
    if not ours.from_source:
        installed_wheel()
    take_place()
    whole = added(found, [], versions, not_run)
    runs = [(name, number) for number in range(options.rounds) for name in groups if name_runs(groups[name], not_run)]
    for name, number in runs:
        whole = added(whole, [one_round(name, groups[name], ours, options.tests.split(","), number)], {}, {})
        if options.out or not QUICK:
            out.parent.mkdir(exist_ok=True)
            out.write_text(json.dumps(whole, indent=1) + "\n")
    shutil.rmtree(ours.home, ignore_errors=True)
    print(table(whole))
    return 0


def name_runs(group: list[Other], not_run: dict[str, str]) -> bool:
    """Whether all of a group could be installed."""
    return not any(one.name in not_run for one in group)


if __name__ == "__main__":
    sys.exit(main())
