"""Three levels that agree, to the unit."""

import numpy as np
import pytest

from tokenroll.insight.reconciling import reconciled


def test_the_company_keeps_its_word_and_shares_follow():
    found = reconciled(
        np.array([[30.0], [10.0], [5.0]]), [0, 0, 1], teams=np.array([[60.0], [20.0]]), company=np.array([100.4])
    )
    assert found.company.tolist() == [100]
    assert found.teams.tolist() == [[75], [25]]
    # 75 in the proportion 3 : 1 is 56.25 and 18.75; both round down and the rest goes to the largest
    assert found.members.tolist() == [[57], [18], [25]]


def test_a_team_whose_members_are_forecast_at_nothing_shares_equally():
    found = reconciled(np.zeros((2, 1)), [0, 0], teams=np.array([[8.0]]), company=np.array([8.0]))
    assert found.members.tolist() == [[4], [4]]


@pytest.mark.parametrize("team_of", [[0, 0], [0, 2], [0]])
def test_a_team_has_members_and_a_member_a_team(team_of):
    with pytest.raises(ValueError, match="each of 2 teams"):
        reconciled(np.ones((2, 1)), team_of, teams=np.ones((2, 1)), company=np.ones(1))
