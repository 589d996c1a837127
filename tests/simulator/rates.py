"""How often what goes wrong in one run: each run draws its own rates, and some are zero, so that no fault hides behind another."""

import random
from dataclasses import dataclass, fields

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR


@dataclass(slots=True)
class Rates:
    """One run's world. Of the `…_every` means: micros between two such events; 0: none in this run. The others are shares."""

    synced: bool = True
    patient: bool = False
    """Whether calls may wait for money."""
    calls_every: int = SECOND // 20
    answer_micros: int = 2 * SECOND
    delay_micros: int = 2_000
    commands_every: int = 20 * SECOND
    chores_every: int = 5 * MINUTE
    jumps_every: int = 0
    """Hours in which nobody calls."""
    worker_kills_every: int = 0
    retirements_every: int = 0
    """A worker that ends in order: no new call, all is told, the lease goes back, and until the next one the ledger gives by itself."""
    ledger_kills_every: int = 0
    power_losses_every: int = 0
    cuts_every: int = 0
    partitions_every: int = 0
    stalls_every: int = 0
    """A process that stands still, as in a pause of its machine, while the world goes on."""
    echoes_every: int = 0
    """A report that was said before, by a life that may be over by now, and is heard once more or only now."""
    skews_every: int = 0
    restores_every: int = 0
    """The ledger's database replaced by an older copy of itself: a replica that lagged, a backup."""
    statement_deaths: float = 0.0
    """Of the ledger's messages: those in the middle of which it dies, at any statement."""
    disk_deaths: float = 0.0
    disk_errors: float = 0.0
    lost_syncs: float = 0.0
    """Of syncs: those that say that they did and did not."""
    frame_doubles: float = 0.0
    reply_losses: float = 0.0
    overruns: float = 0.0
    """Of calls: those that the provider bills above the bound."""
    undialled: float = 0.0
    errors: float = 0.0
    silences: float = 0.0
    """Of answers: those that end without saying what they cost."""
    repeats: float = 0.0
    """Of calls: those whose client names an id that it has named before."""
    workers_max: int = 1
    """Of several workers each is lent what it spends."""

    @property
    def may_lose_records(self) -> bool:
        """Whether a lost power may take what was promised to be kept: under `written` it may, and below a disk that lies."""
        return bool(self.power_losses_every) and (not self.synced or self.lost_syncs > 0)


_FAULTS = (
    "jumps_every", "retirements_every", "worker_kills_every", "ledger_kills_every", "power_losses_every", "cuts_every", "partitions_every", "stalls_every",
    "echoes_every", "skews_every", "restores_every",
)  # fmt: skip
_CALLS_BETWEEN = 30, 3_000
"""How many calls come between two faults of a kind, at the least and at the most."""
_FAULT_MICROS_MIN = SECOND // 3
"""A process needs as long to start."""
_SHARES = {
    "statement_deaths": 0.02, "disk_deaths": 0.004, "disk_errors": 0.002, "lost_syncs": 0.3, "frame_doubles": 0.2, "reply_losses": 0.3,
    "overruns": 0.05, "undialled": 0.2, "errors": 0.2, "silences": 0.3, "repeats": 0.3,
}  # fmt: skip


def drawn(rng: random.Random) -> Rates:
    """The rates of one run: each fault is off in about half of the runs."""
    rates = Rates(synced=rng.random() < 0.5, patient=rng.random() < 0.3)
    rates.calls_every = _between(rng, SECOND // 1_000, SECOND // 10)
    rates.answer_micros = _between(rng, SECOND // 50, 10 * SECOND)
    rates.delay_micros = _between(rng, 100, SECOND // 5)
    rates.commands_every = max(SECOND // 3, _between(rng, *_CALLS_BETWEEN) * rates.calls_every)
    rates.chores_every = max(SECOND, _between(rng, *_CALLS_BETWEEN) * rates.calls_every)
    for name in _FAULTS:
        every = max(_FAULT_MICROS_MIN, _between(rng, *_CALLS_BETWEEN) * rates.calls_every)
        setattr(rates, name, every if rng.random() < 0.5 else 0)
    for name, most in _SHARES.items():
        setattr(rates, name, rng.random() * most if rng.random() < 0.5 else 0.0)
    rates.lost_syncs *= rng.random() < 0.3
    rates.workers_max = rng.choice((1, 2, 3, 4))
    return rates


def calm(rates: Rates) -> Rates:
    """The same world without faults, for the time in which everything must come to its end."""
    kept = {"synced", "patient", "calls_every", "answer_micros", "delay_micros", "chores_every", "workers_max"}
    usual = Rates()
    return Rates(
        **{one.name: getattr(rates if one.name in kept else usual, one.name) for one in fields(Rates)}
        | {"commands_every": 0}
    )


def _between(rng: random.Random, least: int, most: int) -> int:
    """Any order of magnitude is as likely as any other."""
    return int(least * (most / least) ** rng.random())
