"""A clock that goes as it is told."""


class FakeClock:
    """Call it for the time, in milliseconds since the epoch; `now` may be set to anything."""

    def __init__(self, now: int = 1_700_000_000_000) -> None:
        self.now = now

    def __call__(self) -> int:
        """The time."""
        return self.now

    def advance(self, milliseconds: int) -> None:
        """Let time pass (or, with a negative number, be put back)."""
        self.now += milliseconds
