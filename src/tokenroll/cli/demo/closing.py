"""(g) The cycle closes: a slip for everybody, one of them drawn down to its calls and their place in the chain."""

from typing import Final

from tokenroll.cli.demo.cast import ADA
from tokenroll.cli.demo.show import amount, count
from tokenroll.cli.demo.stage import CYCLE, NEXT_CYCLE, Stage
from tokenroll.model.instant import instant_from_text

LETTER: Final = "g"
HEADING: Final = "Midnight: March closes, and what vests has vested"
_AFTER: Final = instant_from_text("2027-04-01T00:00:05Z")


def play(stage: Stage) -> None:
    """No job runs at midnight; a person closes the month, and every slip is added up again from its parts."""
    shown = stage.shown
    stage.advance_to(_AFTER)
    shown.command(f"tokenroll payrun close {CYCLE}")
    stage.tokenroll("payrun", "close", CYCLE, "--json")
    found = stage.auditor.ask("slips", cycle=CYCLE, next_cycle=NEXT_CYCLE)
    sums = found["sums"]
    shown.proof(
        f"{found['slip_count']} slips: opening {amount(sums['opening_nanos'])} + spendable {amount(sums['vested_nanos'])} "
        f"− spent {amount(sums['spent_nanos'])} = closing {amount(sums['closing_nanos'])}, each one too; April opens with it",
        holds=(
            found["closed"]
            and found["slip_count"] == 43
            and not found["bad"]
            and not found["gaps"]
            and found["spent_and_carried_nanos"] == found["charged_nanos"]
        ),
    )
    shown.command(f"tokenroll payslip show '{ADA}' {CYCLE}")
    shown.block(stage.tokenroll("payslip", "show", ADA, CYCLE).text.rstrip().splitlines(), "")
    _draw_down(stage)


def _draw_down(stage: Stage) -> None:
    """Ada's slip: its calls added up, the newest plain one with its arithmetic and its place in the chain."""
    shown = stage.shown
    found = stage.auditor.ask("slip", member=ADA, cycle=CYCLE)
    slip, newest = found["slip"], found["newest"]
    shown.proof(
        f"its {count(found['call_count'])} calls add up to {amount(found['calls_nanos'])}, which is what it says was spent",
        holds=(
            found["call_count"] == slip["call_count"]
            and found["calls_nanos"] == slip["spent_nanos"] + slip["adjustments_nanos"] + slip["company_carried_nanos"]
        ),
    )
    shown.command(f"tokenroll call show {newest['call']}")
    shown.block(stage.tokenroll("call", "show", newest["call"]).text.rstrip().splitlines()[1:])
    proven = stage.auditor.ask("chained", call=newest["call"])
    shown.proof(
        f"that call cost {amount(proven['charge_nanos'])}; its row is leaf {proven['leaf']} of batch {proven['batch']} "
        "of the chain, recomputed",
        holds=proven["proof_verified"] and proven["charge_nanos"] == newest["charge_nanos"],
    )
    wallet = stage.auditor.ask("wallet", member=ADA)
    shown.line(
        f"The first tranche of Ada's bonus vested at midnight, and nothing ran: {amount(wallet['left_nanos'])} left, "
        f"{amount(wallet['unvested_nanos'])} not yet vested."
    )
