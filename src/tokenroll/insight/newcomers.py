"""Newcomers: the past of who has none yet, borrowed from the team.

Without it a new member is forecast at nothing, and a team that hires is forecast at what its old members use.
"""

from collections.abc import Sequence

import numpy as np

from tokenroll.insight.sampling import Flags, Floats


def with_borrowed_past(history: Floats, team_of: Sequence[int], *, enough_periods: int) -> Floats:
    """The history in which whoever is known for fewer than `enough_periods` has the team's use per head where unknown (NaN) so far.

    The team is who of it is known for long enough, else the company; nobody at all lends zero. What is known stays as it is, so that
    a newcomer's own weeks replace the team's as they come.
    """
    values = np.array(history, np.float64)
    places = np.asarray(team_of, np.int64)
    if places.shape != (len(values),):
        raise ValueError(f"{len(values)} series have as many teams, not {places.shape}")
    known = ~np.isnan(values)
    settled = known.sum(1) >= enough_periods
    company, _ = _per_head(values, known, settled)
    for team in np.unique(places[~settled]).tolist():
        colleagues = places == team
        lent, is_known = _per_head(values, known, settled & colleagues)
        lent = np.where(is_known, lent, company)
        rows = np.flatnonzero(colleagues & ~settled)
        values[rows] = np.where(known[rows], values[rows], lent)
    return values


def _per_head(values: Floats, known: Flags, who: Flags) -> tuple[Floats, Flags]:
    """The mean of some series in each period, and whether any of them is known then."""
    count = known[who].sum(0)
    sums = np.where(known[who], values[who], 0.0).sum(0)
    return sums / np.maximum(count, 1), count > 0
