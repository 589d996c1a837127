"""(k) The journal verified from empty, and what to do next."""

from typing import Final

from tokenroll.cli.demo.show import amount
from tokenroll.cli.demo.stage import Stage

LETTER: Final = "k"
HEADING: Final = "Everything again, from empty"
_COMPLAINT_LINES_MAX: Final = 12


def play(stage: Stage) -> None:
    """Another program recomputes every value, the chain and conservation; the bill is compared once more."""
    shown = stage.shown
    found = stage.auditor.ask("sums", bill=str(stage.bill))
    shown.command("tokenroll journal verify")
    said = stage.tokenroll("journal", "verify", codes=(0, 1))
    shown.block(said.text.rstrip().splitlines())
    if said.code:
        shown.block(said.complaint.rstrip().splitlines()[-_COMPLAINT_LINES_MAX:], "red")
    shown.proof(
        "journal verify ✓" if said.code == 0 else "journal verify found something wanting", holds=said.code == 0
    )
    shown.proof(
        f"the provider's whole bill {amount(found['provider_bill_nanos'])} = the whole ledger {amount(found['ledger_nanos'])}",
        holds=found["agree"] and found["attempts_open"] == 0,
    )
