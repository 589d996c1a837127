"""Eligibility asked: every line of it that a member does not fit, in words that say what would."""

from tokenroll.model.eligibility import Eligibility, MemberFacts


def reasons_against(eligibility: Eligibility, facts: MemberFacts, name: str) -> tuple[str, ...]:
    """Why `name` may not have it, one sentence for each line that does not fit; none for who may.

    What is not known of somebody does not fit a line that asks for it: an unknown is never decided in anybody's favour.
    """
    found = []
    if eligibility.departments and not set(eligibility.departments) & set(facts.departments):
        found.append(f"{name} is in {facts.departments[0]}, and it is for {_or(eligibility.departments)}")
    for what, wanted, known in (
        ("level", eligibility.levels, facts.level),
        ("location", eligibility.locations, facts.location),
        ("type of employment", eligibility.employment_types, facts.employment_type),
    ):
        if not wanted or known in wanted:
            continue
        if known is None:
            found.append(f"the {what} of {name} is not known, and it is for {_or(wanted)}")
        else:
            found.append(f"the {what} of {name} is {known}, and it is for {_or(wanted)}")
    found.extend(_reasons_of_hire(eligibility, facts, name))
    return tuple(found)


def _reasons_of_hire(eligibility: Eligibility, facts: MemberFacts, name: str) -> list[str]:
    if eligibility.hired_from is None and eligibility.hired_until is None:
        return []
    if facts.hired_on is None:
        return [f"the day on which {name} was hired is not known, and it depends on that"]
    if eligibility.hired_from is not None and facts.hired_on < eligibility.hired_from:
        return [f"{name} was hired on {facts.hired_on}, before {eligibility.hired_from}"]
    if eligibility.hired_until is not None and facts.hired_on >= eligibility.hired_until:
        return [f"{name} was hired on {facts.hired_on}, not before {eligibility.hired_until}"]
    return []


def _or(names: tuple[str, ...]) -> str:
    *others, last = names
    return f"{', '.join(others)} or {last}" if others else last
