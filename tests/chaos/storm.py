"""A company under fire: `python -m tests.chaos.storm --minutes 30 --seed 7`, or a short one among the tests.

Real processes under their supervisor, clients in loops, an operator at the command line, and one who kills, all from one seed. The seed
gives the order of what is tried; which instruction a kill meets is the machine's.
"""

import argparse
import asyncio
import json
import random
import signal
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.chaos.books import Books, compare, compare_with_clients, read_books
from tests.chaos.callers import Callers
from tests.chaos.finance import FIRST, Operator
from tests.chaos.supervised import SERVE, Supervised

KILLED = {"gateway": 5, "ledger": 5, "web": 1, SERVE: 1}
"""Who is killed how often, in parts."""
PAUSED = {"gateway": 2, "ledger": 3, "web": 1}

DEPLOYMENT = "idle_seconds = 3\n"
"""A provider that stalls is given up soon."""


@dataclass
class Report:
    """The figures of one storm."""

    seed: int
    seconds: float = 0
    kills: Counter[str] = field(default_factory=Counter)
    pauses: Counter[str] = field(default_factory=Counter)
    starts_refused: int = 0
    facts: dict[str, Any] = field(default_factory=dict)

    def text(self) -> str:
        """One line of JSON."""
        return json.dumps({"seed": self.seed, "seconds": round(self.seconds), "kills": dict(self.kills), "pauses": dict(self.pauses),
                           "starts_refused": self.starts_refused, **self.facts})  # fmt: skip


def storm(folder: Path, *, seed: int, seconds: float, loops: int = 8, postgresql: bool = False, workers: int = 1,
          during: Callable[[Supervised, random.Random], str] | None = None) -> Report:  # fmt: skip
    """The whole storm, and afterwards the judgement. Raises AssertionError for anything that is not as it must be."""
    report = Report(seed)
    durability = random.Random(seed).choice(("synced", "written"))
    with Supervised(
        folder / "home", durability=durability, postgresql=postgresql, deployment=DEPLOYMENT, workers=workers
    ) as company:
        operator = Operator(company, seed)
        callers = Callers(company, seed, list(FIRST), loops)
        began = time.monotonic()
        with _in_threads(operator, callers) as threads:
            _kill_for(company, report, seconds, during)
            say(
                f"over after {time.monotonic() - began:.0f} s: {dict(report.kills)} killed, {dict(report.pauses)} paused; the last calls end"
            )
            callers.stopping = operator.stopping = True
        assert not any(thread.is_alive() for thread in threads)
        report.seconds, report.starts_refused = time.monotonic() - began, company.starts_refused
        judge(folder, company, callers, operator, report)
    return report


class _in_threads:  # noqa: N801 - used as a statement
    """Operator and callers beside the one who kills; what one of them raised is raised again."""

    def __init__(self, operator: Operator, callers: Callers) -> None:
        self._raised: list[BaseException] = []
        works = (operator.run, lambda: asyncio.run(callers.run()))
        self._threads = [threading.Thread(target=self._guarded, args=(work,), daemon=True) for work in works]

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - told to the test
            self._raised.append(error)

    def __enter__(self) -> list[threading.Thread]:
        for thread in self._threads:
            thread.start()
        return self._threads

    def __exit__(self, *_: object) -> None:
        for thread in self._threads:
            thread.join(180)
        if self._raised:
            raise self._raised[0]


def _kill_for(
    company: Supervised, report: Report, seconds: float, during: Callable[[Supervised, random.Random], str] | None
) -> None:
    rng = random.Random(f"{report.seed}/killer")
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        time.sleep(rng.expovariate(0.8))
        if during is not None and rng.random() < 0.15:
            report.kills[during(company, rng)] += 1
        elif rng.random() < 0.65:
            role = rng.choices(list(KILLED), list(KILLED.values()))[0]
            if role == SERVE:
                company.end(SERVE)
                company.start_gateway()
                report.kills[role] += 1
            else:
                report.kills[role] += company.signal_to(_one_of(company, role, rng), signal.SIGKILL)
        else:
            role = rng.choices(list(PAUSED), list(PAUSED.values()))[0]
            name = _one_of(company, role, rng)
            if company.signal_to(name, signal.SIGSTOP):
                report.pauses[role] += 1
                time.sleep(rng.uniform(0.05, 2.5))
                company.signal_to(name, signal.SIGCONT)


def _one_of(company: Supervised, role: str, rng: random.Random) -> str:
    """That role, or one of several gateways."""
    return rng.choice(company.gateways) if role == "gateway" and company.workers > 1 else role


def say(text: str) -> None:
    """Where a storm is, at once: one that never ends must have said how far it came."""
    print(text, flush=True)


def judge(folder: Path, company: Supervised, callers: Callers, operator: Operator, report: Report) -> None:
    """Everything stopped in order and started again; then ledger, bill, clients and operator must tell one story."""
    say("all have ended; stopping in order and starting again")
    _settle_down(company)
    say("comparing every line of the bill")
    books = _judged(company, callers)
    checked = len(books.checked)
    _no_overspend(company, books, operator)
    say(f"{checked} are being checked: the bill settles them")
    # what is being checked is settled by the provider's bill; left is what that says nothing of, because it never came there
    said = company.tokenroll(
        "reconcile",
        "--bill",
        str(company.bill_file(folder / "bill.jsonl")),
        "--book",
        "--json",
        code=_code(books, company),
    )
    assert said["suspense_count"] == len(books.never_came), (said, books.never_came)
    _settle_down(company)
    after = _judged(company, callers)
    assert after.checked.keys() == books.never_came
    _no_overspend(company, after, operator)
    _can_spend_on(company)
    told = callers.told
    report.facts = {
        "durability": company.durability, "calls": told.asked, "statuses": dict(sorted(told.statuses.items())), "left": told.left,
        "attempts": len(after.settled), "bill_lines": len(company.bill()), "bill_nanos": sum(line.cost_nanos for line in company.bill()),
        "charged_nanos": sum(after.charged_nanos.values()), "estimates": after.estimates, "were_being_checked": checked,
        "resolved": said["resolved_count"], "never_came": len(after.never_came), "commands": dict(operator.done), "commands_repeated": operator.repeated,
    }  # fmt: skip


def _settle_down(company: Supervised) -> None:
    company.quiet()
    company.end(SERVE, signal.SIGTERM)
    company.start_gateway()
    company.quiet()
    assert company.ledger_verify()["holds"] is True


def _judged(company: Supervised, callers: Callers) -> Books:
    books = read_books(company)
    compare(books, company.bill())
    compare_with_clients(books, callers.told)
    books.all_is_well()
    return books


def _code(books: Books, company: Supervised) -> int:
    """How `reconcile` ends: with 1 if some estimate is not what the bill says."""
    costs = {(int(line.call_id.removeprefix("call_"), 16), line.attempt): line.cost_nanos for line in company.bill()}
    return int(
        any(
            one.settle is not None and one.settle.list_cost_nanos != costs.get(key, 0)
            for key, one in books.settled.items()
        )
    )


def _no_overspend(company: Supervised, books: Books, operator: Operator) -> None:
    """By the provider's own bill: nobody had more than was granted to them, and the limit held; ledger and gateway say the same."""
    for name in operator.granted:
        seen = company.wallet(name)
        assert books.billed_nanos[operator.wallets[name]] <= operator.granted[name], (
            f"{name} had {operator.granted[name]}"
        )
        assert min(seen.left, seen.in_use, seen.being_checked) >= 0, f"{name}: {seen}"
        assert seen.company_carried == 0, f"{name}: {seen}"
        assert company.me(name) == seen, f"{name}: the gateway enforces {company.me(name)}, the ledger has {seen}"
        lost = operator.granted[name] - seen.left - seen.in_use - seen.being_checked - seen.spent
        assert lost == operator.taken_back(name), (
            f"{name}: {operator.granted[name]} granted, {seen}, {lost} unaccounted for"
        )
    assert books.billed_nanos[operator.wallets["Nightly agent"]] <= operator.cap_nanos_most
    assert company.me("Ada").left > 0


def _can_spend_on(company: Supervised) -> None:
    """No false denial: after all that, who has money is served."""
    answer = company.openai("Ada").chat.completions.create(
        model="gpt-4o-mini", messages=[{"role": "user", "content": "Still there?"}], max_tokens=9
    )
    assert answer.usage is not None
    company.quiet()


def main() -> None:
    """The storm by hand, its figures on one line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--workers", type=int, default=1, help="gateways, each with a sized lease")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    given = parser.parse_args()
    say(f"seed {given.seed}")
    with tempfile.TemporaryDirectory(prefix="tokenroll-chaos-") as folder:
        say(storm(Path(folder), seed=given.seed, seconds=given.minutes * 60, workers=given.workers).text())


if __name__ == "__main__":
    main()
