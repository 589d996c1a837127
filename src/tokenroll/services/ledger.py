"""The ledger: sole author of grants, lots, leases, keys and the chain; folds what workers report (DESIGN §5)."""

from tokenroll.services.unit_of_work import Handler, RandomBits, Refused, UnitOfWork

__all__ = ["Handler", "RandomBits", "Refused", "UnitOfWork"]
