"""(b) An engineer gets a signing bonus, which is pay and vests, and has a stipend, which is a tool and unlocks."""

from typing import Any, Final

from tokenroll.books.words import words_of
from tokenroll.cli.demo.cast import ADA, BONUS_NANOS, BONUS_PLAN, STIPEND_NANOS
from tokenroll.cli.demo.show import short
from tokenroll.cli.demo.stage import GRANTS_AT, Stage, day_of
from tokenroll.model.instant import text_from_instant

LETTER: Final = "b"
HEADING: Final = "Ada, engineer: a signing bonus and a stipend"


def play(stage: Stage) -> None:
    """The bonus is granted on the command line; both grants are read back with their dates and their words."""
    shown = stage.shown
    stage.execute(
        "plan.create",
        name=BONUS_PLAN,
        kind="signing_bonus",
        classification="compensation",
        amount_nanos=BONUS_NANOS,
        vesting={"kind": "periodic", "occurrences": 12},
        effective_at=GRANTS_AT,
    )
    since = text_from_instant(GRANTS_AT)
    shown.command(f"tokenroll grant create '{ADA}' --plan '{BONUS_PLAN}' --effective-at {since}")
    stage.tokenroll("grant", "create", ADA, "--plan", BONUS_PLAN, "--effective-at", since, "--json")
    found = stage.auditor.ask("grants", member=ADA)
    by_class = {one["classification"]: one for one in found["grants"]}
    for classification in ("compensation", "tool"):
        _tell(stage, by_class[classification])
    pay, tool, wallet = by_class["compensation"], by_class["tool"], found["wallet"]
    first = pay["lots"][0]
    shown.proof(
        f"left now {short(wallet['left_nanos'])}: the tool's; not yet {short(wallet['unvested_nanos'])}: pay in "
        f"{len(pay['lots'])} tranches, the first of {short(first['amount_nanos'])} on {day_of(first['effective_at'])}",
        holds=(
            wallet["left_nanos"] == STIPEND_NANOS == tool["vested_nanos"]
            and wallet["unvested_nanos"] == BONUS_NANOS == sum(lot["amount_nanos"] for lot in pay["lots"])
            and pay["vested_nanos"] == 0
            and day_of(first["effective_at"]) == "2027-04-01"
        ),
    )


def _tell(stage: Stage, grant: dict[str, Any]) -> None:
    words = words_of(grant["classification"])
    name = words.kinds[grant["kind"]]
    stage.shown.line(
        f"{name} of {short(grant['amount_nanos'])}: {words.allowance}, {words.vests} {grant['schedule']}", "bold"
    )
    stage.shown.line(grant["why"])
