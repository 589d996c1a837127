"""What a classification decides, in one sentence for each desk that it binds (reference: books, §0)."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from tokenroll.model.classification import Classification

CONSEQUENCES: Final[Mapping[Classification, Mapping[str, str]]] = MappingProxyType(
    {
        Classification.TOOL: MappingProxyType(
            {
                "tax": "not taxed while the conditions of a working tool hold",
                "books": "expense when it is used; no liability at the grant",
                "pay equity": "not pay, and outside of pay gap figures",
                "clawback and expiry": "control of a budget, free to change",
            }
        ),
        Classification.COMPENSATION: MappingProxyType(
            {
                "tax": "wages or a benefit in kind: payroll values, withholds and reports it",
                "books": "a liability that accrues as it vests, measured at the contracted cost",
                "pay equity": "pay in kind, within pay gap figures",
                "clawback and expiry": "bound by the law of wages: used credits are never taken back",
            }
        ),
    }
)
