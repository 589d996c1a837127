"""Groups too small to be told apart (law 10): which of them are told together, so that no figure is that of fewer people than are enough."""

from collections.abc import Mapping

from tokenroll.model.limits import PEOPLE_TOLD_MIN


def told_together(people: Mapping[str, int], least: int = PEOPLE_TOLD_MIN) -> frozenset[str]:
    """Groups that only their sum may be told of, by how many people each has; empty where all may be told.

    Small groups go together. Where that is still too few people, the next larger groups join them, since a small group is also what is
    left when all others are taken from the whole. A group in which nobody is named has no habits of anybody.
    """
    found = {name for name, count in people.items() if 0 < count < least}
    together = sum(people[name] for name in found)
    others = sorted((count, name) for name, count in people.items() if count >= least)
    while found and together < least and others:
        count, name = others.pop(0)
        found.add(name)
        together += count
    return frozenset(found)
