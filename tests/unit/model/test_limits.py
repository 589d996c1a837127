import ast
from pathlib import Path

from tokenroll.model import limits


def test_every_limit_has_its_reason_beside_it():
    tree = ast.parse(Path(limits.__file__).read_text())
    unexplained: list[str] = []
    for node in tree.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            unexplained.append(node.target.id)  # a group of limits may share one reason, written under the last
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            unexplained.clear()
    assert not unexplained


def test_two_rows_still_fit_an_int64():
    assert limits.AMOUNT_NANOS_MAX == 1_000_000_000_000_000_000
    assert 2 * limits.AMOUNT_NANOS_MAX < 2**63


def test_a_hold_counts_its_slices_in_one_byte():
    assert limits.SLICES_MAX == 255


def test_suspense_lasts_three_days_at_most():
    assert limits.SUSPENSE_SECONDS_MAX == 259_200


def test_a_call_ends_before_suspense_does():
    assert limits.CALL_AGE_SECONDS_MAX == 3_600 < limits.SUSPENSE_SECONDS_MAX
