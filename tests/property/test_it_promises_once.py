"""Offers and proposals under any order of steps, repeated steps and jumps of the clock: at most one grant of each (laws 7 and 9)."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.firm import CREDIT, DAY, JANUARY, Firm

ROWS = [{"line": 2, "id": "Q1-1", "to": "Ada", "plan": "tools"}, {"line": 3, "id": "Q1-2", "to": "Bo", "plan": "tools"}]
EXAMPLES = settings().max_examples // 3
"""Each is a ledger of its own."""
JUMPS = st.sampled_from([0, 1, DAY, 10 * DAY, 40 * DAY])
OFFER_STEPS = st.lists(
    st.tuples(st.sampled_from(["accept", "decline", "withdraw", "extend", "grant"]), st.integers(0, 3), JUMPS), max_size=8
)  # fmt: skip
PROPOSAL_STEPS = st.lists(
    st.tuples(st.sampled_from(["approve", "reject", "import", "plan"]), st.sampled_from(["Cleo", "Dev"]), st.integers(0, 3), JUMPS),
    max_size=8,
)  # fmt: skip


def make_firm() -> Firm:
    firm = Firm()
    for name in ("Ada", "Bo", "Cleo", "Dev"):
        firm.hire(name)
    firm.do("member.create", name="Eve", department="Engineering", hired_on="2026-01-20")
    firm.do("plan.create", name="tools", kind="stipend", classification="tool", amount_nanos=40 * CREDIT)
    for number, name in enumerate(("Cleo", "Dev")):
        firm.do(
            "key.create", member=name, scope="admin", name="admin", secret_hash=f"{number:02x}" * 32, shown_prefix=f"tr-{name}"
        )  # fmt: skip
    return firm


def granted(firm: Firm, who: str) -> int:
    return len(firm.reports.grants(who))


@settings(max_examples=EXAMPLES)
@given(OFFER_STEPS)
def test_an_offer_becomes_at_most_one_grant(steps):
    firm = make_firm()
    firm.do("offer.create", candidate="Eve", plan="tools", lapses_on="2026-02-01")
    is_accepted = is_ended = False
    for step, number, jump in steps:
        firm.now += jump
        before = firm.reports.offer("Eve")["state"]
        later = f"20{27 + (firm.now - JANUARY) // (365 * DAY)}-06-01"
        arguments: dict[str, Any] = {"lapses_on": later} if step == "extend" else {}
        reply = firm.ask(f"offer.{step}", command_id=f"{step}{number}", offer="Eve", **arguments)
        after = firm.reports.offer("Eve")["state"]
        assert (reply.result is None) or reply.result["offer"].startswith("offer_")
        assert reply.result is not None or after == before
        is_accepted |= after == "accepted"
        is_ended |= after in {"declined", "withdrawn"}
        assert granted(firm, "Eve") == (after == "granted")
        assert not (after == "granted" and (is_ended or not is_accepted))
    firm.now += 4_000 * DAY
    end = firm.reports.offer("Eve")["state"]
    assert end != "offered"
    assert granted(firm, "Eve") == (end == "granted")


@settings(max_examples=EXAMPLES)
@given(PROPOSAL_STEPS)
def test_an_award_is_granted_once_and_never_by_who_proposed_it(steps):
    firm = make_firm()
    proposal = firm.do("proposal.create", rows=ROWS, by="Dev")["proposal"]
    for step, by, number, jump in steps:
        firm.now += jump
        if step == "import":
            firm.ask("grant.import", command_id=f"import{number}", rows=ROWS)
        elif step == "plan":
            amount = (41 + number) * CREDIT
            firm.ask("plan.create", name="tools", kind="stipend", classification="tool", amount_nanos=amount)
        else:
            firm.ask(f"proposal.{step}", command_id=f"{step}{by}{number}", proposal=proposal, by=by)
        found = firm.reports.proposal(proposal)
        assert [granted(firm, name) for name in ("Ada", "Bo")] in ([0, 0], [1, 1])
        if found["state"] == "approved":
            assert (found["decided_by"], granted(firm, "Ada")) == ("Cleo", 1)
            assert [one["amount_nanos"] for one in firm.reports.grants("Ada")] == [40 * CREDIT]
