"""A worker that has everything: what several workers say to each other it never hears."""

from tokenroll.services.protocol import AskBack, Lacking, Lent, Want


class LoneWorker:
    """The part of a worker's events that is of sized leases. Heard without one, they fail the test."""

    def lent(self, lent: Lent) -> None:
        raise AssertionError(lent)

    def lacking(self, lacking: Lacking) -> None:
        raise AssertionError(lacking)

    def ask_back(self, asked: AskBack) -> None:
        raise AssertionError(asked)

    def wants(self) -> list[Want]:
        return []
