"""Refused: what a command says when it was understood and is not done."""


class Refused(Exception):  # noqa: N818 - a refusal is an answer, not an error of the program
    """A command that was understood and not done. `kind` is for programs, the message is a sentence with the next step."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
