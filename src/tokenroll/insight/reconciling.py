"""Reconciling: forecasts of members, teams and company made to agree, from the top down.

Each level is forecast by its own model, since what one person does is noise and what a company does is not; then the upper level keeps
its word and the lower ones keep their shares of it (forecast proportions: Athanasopoulos, Ahmed, Hyndman, "Hierarchical forecasts for
Australian domestic tourism", IJF 2009). Whole units, so that sums agree exactly and in any order.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tokenroll.engine.sharing import shared_out
from tokenroll.insight.sampling import Floats

Counts = NDArray[np.int64]
_WEIGHT_BITS: Final = 50


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reconciled:
    """Whole units of a company (period), its teams (team × period) and their members (member × period), each the sum of the next."""

    company: Counts
    teams: Counts
    members: Counts


def reconciled(members: Floats, team_of: Sequence[int], teams: Floats, company: Floats) -> Reconciled:
    """Forecasts of three levels that agree with the company's; `team_of` says which row of `teams` a member is part of.

    Who has no share because a whole team is forecast at nothing shares equally in what is left over for it. ValueError for a team
    without members, which could pass nothing on.
    """
    places = np.asarray(team_of, np.int64)
    if places.shape != (len(members),) or set(places.tolist()) != set(range(len(teams))):
        raise ValueError(f"each of {len(teams)} teams has members, and each of {len(members)} members a team")
    top = np.rint(company).astype(np.int64)
    found_teams = _shared(top, teams)
    found = np.zeros(members.shape, np.int64)
    for team in range(len(teams)):
        rows = np.flatnonzero(places == team)
        found[rows] = _shared(found_teams[team], members[rows])
    return Reconciled(company=top, teams=found_teams, members=found)


def _shared(totals: Counts, parts: Floats) -> Counts:
    """Each period's total in the proportions of its parts."""
    found = np.zeros(parts.shape, np.int64)
    for period, total in enumerate(totals.tolist()):
        column = parts[:, period]
        largest = float(column.max())
        exponent = _WEIGHT_BITS - int(np.frexp(largest)[1])  # powers of two, so that whole proportions stay whole
        weights = np.rint(np.ldexp(column, exponent)) if largest > 0 else np.ones(len(column))
        found[:, period] = shared_out(total, [int(weight) for weight in weights])
    return found
