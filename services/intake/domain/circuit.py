"""Whether the broker is worth asking: closed while it answers, open from a failure to the next success."""


class Circuit:
    """A circuit breaker without a timer: whoever drains the spool tries the broker, nobody else has to.

    A dead broker must not cost every request its time limit. So the first call that fails opens the circuit
    for all, and only a publish that came through closes it again.
    """

    def __init__(self) -> None:
        """Start open: nothing has come through yet."""
        self.closed = False
        """Whether requests may go to the broker."""
        self.trips = 0
        """How often it was opened."""

    def trip(self) -> None:
        """The broker failed, or its connection is gone."""
        if self.closed:
            self.closed = False
            self.trips += 1

    def close(self) -> None:
        """The broker has just done what it is for."""
        self.closed = True
