"""What a worker counts of itself, as plain integers, and their text for Prometheus."""

from collections import Counter
from collections.abc import Iterable
from typing import Final

from tokenroll.model.usage import METERS
from tokenroll.upstream.dialect import CallMeter

_BUCKETS: Final = 26
"""Powers of two in microseconds: the last one is half a minute."""


class Histogram:
    """Microseconds in buckets of powers of two: one index and one addition per value."""

    __slots__ = ("counts", "sum_micros")

    def __init__(self) -> None:
        self.counts = [0] * _BUCKETS
        self.sum_micros = 0

    def add(self, micros: int) -> None:
        """One value; what is longer than the last bucket counts there."""
        index = micros.bit_length() if micros > 0 else 0
        self.counts[index if index < _BUCKETS else _BUCKETS - 1] += 1
        self.sum_micros += micros

    @property
    def count(self) -> int:
        """How many values."""
        return sum(self.counts)

    def lines(self, name: str, labels: str) -> Iterable[str]:
        """The histogram in Prometheus' words, in seconds."""
        yield f"# TYPE {name} histogram"
        total = 0
        before = labels + "," if labels else ""
        behind = f"{{{labels}}}" if labels else ""
        for index, count in enumerate(self.counts):
            total += count
            yield f'{name}_bucket{{{before}le="{2**index / 1e6:.6g}"}} {total}'
        yield f'{name}_bucket{{{before}le="+Inf"}} {total}'
        yield f"{name}_sum{behind} {self.sum_micros / 1e6:.6f}"
        yield f"{name}_count{behind} {total}"


class Metrics:
    """Counters of one worker since its start."""

    __slots__ = (
        "added",
        "calls",
        "cap_hints",
        "charged_nanos",
        "client_connections",
        "client_connections_total",
        "denials",
        "drained_calls",
        "ends",
        "errands",
        "estimated_calls",
        "further_attempts",
        "further_denials",
        "loops_passed",
        "refused_connections",
        "requests",
        "reroutes",
        "settled_calls",
        "settled_hold_nanos",
        "tokens",
        "upstream_connections",
        "upstream_dial_failures",
        "upstream_dials",
        "upstream_resends",
        "waits",
    )

    def __init__(self) -> None:
        self.requests: Counter[str] = Counter()
        self.calls = 0
        self.denials: Counter[str] = Counter()
        self.ends: Counter[str] = Counter()
        self.settled_calls = 0
        self.estimated_calls = 0
        self.tokens = [0] * len(METERS)
        self.charged_nanos = 0
        self.settled_hold_nanos = 0
        self.added = Histogram()
        self.client_connections = 0
        self.client_connections_total = 0
        self.refused_connections = 0
        self.upstream_connections = 0
        self.upstream_dials = 0
        self.upstream_dial_failures = 0
        self.reroutes = 0
        """Calls that a limit sent to a cheaper model."""
        self.upstream_resends = 0
        self.further_attempts: Counter[str] = Counter()
        """Calls sent to another deployment, by what the last one did: a status, `unreachable` or `unanswered`."""
        self.further_denials: Counter[str] = Counter()
        """Those that were not, because they were denied there."""
        self.loops_passed = 0
        """Calls that a plan would have refused as a loop, were it enforced."""
        self.drained_calls = 0
        self.errands = 0
        """Free requests to providers."""
        self.waits = 0
        self.cap_hints = 0
        """Answers with which a client was told which output cap would do."""

    def settled(self, meter: CallMeter, charge_nanos: int, bound_nanos: int) -> None:
        """One attempt settled: what its meter read, its charge, and the hold it came out of."""
        self.settled_calls += 1
        if not meter.saw_usage or meter.degraded:
            self.estimated_calls += 1
        self.charged_nanos += charge_nanos
        self.settled_hold_nanos += bound_nanos
        tokens = self.tokens
        for index, count in enumerate(meter.counts):
            if count:
                tokens[index] += count

    def text(self, extra: Iterable[tuple[str, str, str, float]], labels: str) -> str:
        """The page of /metrics. `extra` are (name, type, label set, value) of things counted elsewhere."""
        lines: list[str] = []

        def family(name: str, kind: str, values: Iterable[tuple[str, float]]) -> None:
            lines.append(f"# TYPE {name} {kind}")
            for label, value in values:
                both = ",".join(part for part in (labels, label) if part)
                text = (
                    str(int(value)) if value == int(value) else str(value)
                )  # compiled, a whole number is a float here
                lines.append(f"{name}{{{both}}} {text}" if both else f"{name} {text}")

        def named(label: str, counter: "Counter[str]") -> list[tuple[str, float]]:
            return [(f'{label}="{key}"', count) for key, count in sorted(counter.items())]

        family("tokenroll_requests_total", "counter", named("route", self.requests))
        family("tokenroll_calls_total", "counter", [("", self.calls)])
        family("tokenroll_denials_total", "counter", named("reason", self.denials))
        family("tokenroll_attempts_ended_total", "counter", named("end", self.ends))
        reported = self.settled_calls - self.estimated_calls
        family(
            "tokenroll_settlements_total",
            "counter",
            [('source="estimated"', self.estimated_calls), ('source="reported"', reported)],
        )
        family(
            "tokenroll_tokens_total",
            "counter",
            [(f'kind="{meter.value}"', count) for meter, count in zip(METERS, self.tokens, strict=True)],
        )
        family("tokenroll_charged_nanos_total", "counter", [("", self.charged_nanos)])
        family("tokenroll_settled_hold_nanos_total", "counter", [("", self.settled_hold_nanos)])
        ratio = self.settled_hold_nanos / self.charged_nanos if self.charged_nanos else 0.0
        family("tokenroll_hold_settle_ratio", "gauge", [("", round(ratio, 6))])
        family("tokenroll_client_connections", "gauge", [("", self.client_connections)])
        family("tokenroll_client_connections_total", "counter", [("", self.client_connections_total)])
        family("tokenroll_client_connections_refused_total", "counter", [("", self.refused_connections)])
        family("tokenroll_upstream_connections", "gauge", [("", self.upstream_connections)])
        family("tokenroll_upstream_dials_total", "counter", [("", self.upstream_dials)])
        family("tokenroll_upstream_dial_failures_total", "counter", [("", self.upstream_dial_failures)])
        family("tokenroll_reroutes_total", "counter", [("", self.reroutes)])
        family("tokenroll_upstream_resends_total", "counter", [("", self.upstream_resends)])
        family("tokenroll_further_attempts_total", "counter", named("why", self.further_attempts))
        family("tokenroll_further_attempts_denied_total", "counter", named("reason", self.further_denials))
        family("tokenroll_waits_total", "counter", [("", self.waits)])
        family("tokenroll_loops_passed_total", "counter", [("", self.loops_passed)])
        family("tokenroll_cap_hints_total", "counter", [("", self.cap_hints)])
        family("tokenroll_drained_calls_total", "counter", [("", self.drained_calls)])
        family("tokenroll_errands_total", "counter", [("", self.errands)])
        lines += self.added.lines("tokenroll_added_latency_seconds", labels)
        families: dict[tuple[str, str], list[tuple[str, float]]] = {}
        for name, kind, label, value in extra:
            families.setdefault((name, kind), []).append((label, value))
        for (name, kind), values in families.items():
            family(name, kind, values)
        return "\n".join(lines) + "\n"
