"""Why something that was asked of the conference is not done."""


class RefusedError(Exception):
    """That is not possible now. ``code`` is what pages translate; the message is for logs and the command line."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
