"""FoldHalt: why a fold stopped. Halt over wrong (DESIGN §5)."""


class FoldHalt(Exception):  # noqa: N818 - what the ledger does, not what went wrong in it
    """A record that cannot be: nothing of its report is applied. `reason` is one word, for programs and alarms."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
