"""Classifying: what a plan must not say to be what it claims (DESIGN §4 law 12).

A working tool is not taxed because it is not pay; whatever would make it pay is refused before anybody is granted it.
"""

from tokenroll.model.classification import Classification
from tokenroll.model.grant import GrantKind
from tokenroll.model.plan import Plan

_REWARDS = frozenset({GrantKind.SIGNING_BONUS, GrantKind.PERFORMANCE_BONUS, GrantKind.SPOT_BONUS})


def objections(plan: Plan) -> tuple[str, ...]:
    """Every reason why a `tool` plan would be pay, with the rule and what to do; none for `compensation`."""
    if plan.classification is not Classification.TOOL:
        return ()
    found = []
    if plan.kind in _REWARDS:
        found.append(
            f"a {plan.kind} rewards the person, so it is pay and no working tool (rule: bonus kinds, reference books §1.7): "
            "classify the plan as compensation, or make its kind stipend"
        )
    return tuple(found)
