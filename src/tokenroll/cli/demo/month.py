"""(c) The month: thousands of real calls through the gateway's process, each at its own virtual moment."""

from typing import Any, Final

from tokenroll.cli.demo.cast import ADA, PEOPLE
from tokenroll.cli.demo.show import amount, count, lasts, sparkline
from tokenroll.cli.demo.stage import SEED, Stage
from tokenroll.cli.demo.traffic import Traffic, month_of_calls

LETTER: Final = "c"
HEADING: Final = "A month of calls, through the real gateway, over real HTTP"


def play(stage: Stage) -> None:
    """Everybody's calls, then the provider's bill against the ledger."""
    shown = stage.shown
    shown.line(
        "Sizes, sessions and the unequal shares of people follow public measurements (ServeGen, mini-swe-agent, Azure, aider); "
        "the provider is simulated on this machine and keeps a bill of its own. Durability: synced."
    )
    with shown.live() as meter:
        traffic = Traffic(
            gateway=stage.gateway,
            twin=stage.twin,
            keys=[stage.keys[name] for name in PEOPLE],
            advance_to=stage.advance_to,
            on_tick=lambda now: meter.show(*_lines(now)),
        )
        traffic.run(month_of_calls(SEED, len(PEOPLE), stage.calls))
    for reason, number in traffic.failed.items():
        shown.line(f"not served: {number} × {reason}", "red")
    stage.settled()
    found = stage.auditor.ask("sums", bill=str(stage.bill))
    wallet = stage.auditor.ask("wallet", member=ADA)
    shown.proof(
        f"{count(found['attempts_settled'])} calls settled for {found['wallet_count']} people, none refused: the provider's bill "
        f"{amount(found['provider_bill_nanos'])} = usage × rates = settlements = wallets = ledger {amount(found['ledger_nanos'])}",
        holds=_agrees(found, stage.calls) and not traffic.failed,
    )
    shown.proof(
        f"Ada: {count(wallet['call_count'])} calls, left {amount(wallet['left_nanos'])} credits, {lasts(wallet)}",
        holds=wallet["call_count"] > 0 and wallet["granted_nanos"] == _accounted(wallet),
    )


def _lines(now: Traffic) -> tuple[str, ...]:
    p50, p99 = now.added_milliseconds()
    pace = f", {count(round(now.answered / now.elapsed_seconds))} calls/s" if now.elapsed_seconds else ""
    return (
        f"March  {sparkline(now.by_day)}  {count(now.answered)} of {count(now.total)} calls{pace}",
        f"the gateway adds to the first byte: p50 {p50:.2f} ms, p99 {p99:.2f} ms ({now.concurrency} calls at once)",
    )


def _agrees(found: dict[str, Any], calls: int) -> bool:
    return bool(
        found["agree"]
        and found["attempts_settled"] == calls
        and found["attempts_open"] == 0
        and found["lowest_left_nanos"] >= 0
    )


def _accounted(wallet: dict[str, Any]) -> int:
    names = ("left_nanos", "in_use_nanos", "being_checked_nanos", "spent_nanos", "expired_nanos", "unvested_nanos")
    return sum(int(wallet[name]) for name in names)
