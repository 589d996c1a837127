"""Finance at the command line while all is shot at: each write is repeated under its own id until somebody answers, and is done once."""

import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from typing import Any

from sqlalchemy import text

from tests.chaos.supervised import Supervised
from tests.company import CREDIT
from tokenroll.store.database import open_reader

COMMAND_SECONDS = 40
TRIES_MAX = 60
LIMIT_NANOS = 3_000_000
"""What the Nightly agent may use in a pay cycle: some dozens of calls."""
FIRST = {"Ada": 1_000 * CREDIT, "Bo": CREDIT // 1000, "Cleo": CREDIT // 1000, "Nightly agent": 100 * CREDIT}


class Operator:
    """Top-ups, grants that are clawed back, and a limit that is lifted for a while; what each wallet was given in all."""

    def __init__(self, company: Supervised, seed: int) -> None:
        self.stopping = False
        for name, nanos in FIRST.items():
            company.hire(name, nanos)
        clawback = {"leaving": {"clawback": {"basis": "full", "months": 12}}}
        company.do(
            "plan.create", name="clawed", kind="stipend", classification="tool", amount_nanos=CREDIT, terms=clawback
        )
        company.do("limit.create", name="nightly", member="Nightly agent", window="cycle", cap=LIMIT_NANOS)
        self.granted = dict(FIRST)
        self.wallets = _wallets(company)
        self.cap_nanos_most = LIMIT_NANOS
        self.done: Counter[str] = Counter()
        self.repeated = 0
        self._company = company
        self._seed = seed
        self._rng = random.Random(f"{seed}/operator")
        self._count = 0
        self._cleos: list[str] = []

    def run(self) -> None:
        """Until told to stop."""
        deeds = (
            self._tops_up_bo,
            self._tops_up_bo,
            self._grants_cleo,
            self._claws_back,
            self._lifts_the_limit,
            self._verifies,
        )
        while not self.stopping:
            self._rng.choice(deeds)()
            time.sleep(self._rng.expovariate(0.5))

    def taken_back(self, name: str) -> int:
        """What of a member's grants was clawed back by now."""
        reader = open_reader(self._company.settings.ledger_place)
        with reader.connect() as connection:
            query = text(
                "SELECT sum(clawed_back_nanos) FROM lot_values JOIN lots ON lots.id = lot_id WHERE wallet_id = :wallet"
            )
            found = int(connection.scalar(query, {"wallet": self.wallets[name]}) or 0)
        reader.dispose()
        return found

    def _tops_up_bo(self) -> None:
        self._writes("top-up", "grant", "top-up", "Bo", "--amount", "0.0002")
        self.granted["Bo"] += 200_000

    def _grants_cleo(self) -> None:
        told = self._writes("grant", "grant", "create", "Cleo", "--plan", "clawed", "--amount", "0.0005")
        self.granted["Cleo"] += 500_000
        self._cleos.append(str(told["grant"]))

    def _claws_back(self) -> None:
        if self._cleos:
            self._writes("clawback", "grant", "clawback", self._cleos.pop(), "--reason", "chaos")

    def _lifts_the_limit(self) -> None:
        cap = self._rng.choice((2_000_000, 3_000_000, 4_000_000))
        self.cap_nanos_most = max(self.cap_nanos_most, cap)
        until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 20))
        self._writes("override", "limit", "override", "nightly", "--cap", f"{cap / CREDIT:.9f}", "--until", until)

    def _verifies(self) -> None:
        code, said = self._tokenroll("journal", "verify", "--json")
        assert code == 0, said
        self.done["journal verify"] += 1

    def _writes(self, name: str, *arguments: str) -> dict[str, Any]:
        """The answer of a write, asked for until there is one: a ledger that was killed may have done it or not."""
        self._count += 1
        write_id = f"operator-{self._seed}-{self._count}"
        for _ in range(TRIES_MAX):
            code, said = self._tokenroll(*arguments, "--id", write_id, "--json")
            if code == 0:
                self.done[name] += 1
                return said
            self.repeated += 1
            time.sleep(0.5)
        raise AssertionError(f"{name} was never answered: {said}")

    def _tokenroll(self, *arguments: str) -> tuple[int, Any]:
        done = subprocess.run(
            [sys.executable, "-m", "tokenroll", *arguments], env={**os.environ, "TOKENROLL_HOME": str(self._company.home)},
            capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False,
        )  # fmt: skip
        try:
            return done.returncode, json.loads(done.stdout)
        except ValueError:
            return done.returncode or 1, done.stdout + done.stderr


def _wallets(company: Supervised) -> dict[str, int]:
    """The number of each member's wallet."""
    reader = open_reader(company.settings.ledger_place)
    with reader.connect() as connection:
        query = "SELECT members.name, wallets.id FROM wallets JOIN members ON holder_kind = 'member' AND holder_id = members.id"
        found = {str(name): int(number) for name, number in connection.execute(text(query))}
    reader.dispose()
    return found
