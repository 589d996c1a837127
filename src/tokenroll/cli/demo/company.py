"""(a) Acme: 42 people in 4 departments, a wallet and a key each, one month."""

from typing import Final

from tokenroll.cli.demo.cast import DEPARTMENTS, MODELS, PEOPLE, STIPEND_NANOS, STIPEND_PLAN
from tokenroll.cli.demo.show import short
from tokenroll.cli.demo.stage import GRANTS_AT, Stage

LETTER: Final = "a"
HEADING: Final = "Acme, 42 people in 4 departments; March 2027 begins"


def play(stage: Stage) -> None:
    """Prices, departments, people, the stipend's plan, a grant and a key for everybody."""
    shown = stage.shown
    cards = stage.execute("ratecard.import", providers=["anthropic", "openai"], models=list(MODELS))
    stage.execute(
        "plan.create",
        name=STIPEND_PLAN,
        kind="stipend",
        classification="tool",
        amount_nanos=STIPEND_NANOS,
        lifetime="3m",
        effective_at=GRANTS_AT,
        priority=50,
    )
    for department, names in DEPARTMENTS.items():
        stage.execute("department.create", name=department)
        for name in names:
            stage.execute("member.create", name=name, department=department, zone="UTC", hired_on="2027-03-01")
            stage.execute("grant.create", to=name, plan=STIPEND_PLAN, effective_at=GRANTS_AT)
            stage.make_key(name)
    found = stage.auditor.ask("company")
    shown.line(
        "A credit buys 1 USD of compute at list price. Everybody gets a working allowance of 5 credits: "
        "little, because only about one call in twenty of a real month is made here."
    )
    shown.pairs({name: f"{count:>2} people" for name, count in found["departments"].items()})
    shown.proof(
        f"{found['people']} people in {len(found['departments'])} departments, {found['live_key_count']} keys, "
        f"{found['grant_count']} grants of together {short(found['granted_nanos'])} credits, "
        f"{found['rate_card_count']} dated rate cards ({cards['source']})",
        holds=(
            found["people"] == found["live_key_count"] == found["grant_count"] == len(PEOPLE) == 42
            and found["departments"] == {name: len(names) for name, names in DEPARTMENTS.items()}
            and found["granted_nanos"] == 42 * STIPEND_NANOS
        ),
    )
