"""The books 台账: every accepted rating stands in exactly one account."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Books:
    """Where the accepted ratings are, as of one position of the stream.

    Attributes:
        accepted: distinct ratings that are no probes.
        counted: those in the statistics (of their own day, be it in a window or not).
        replaced: those that a newer rating of the same citizen on the same transaction stands for.
        late: those received too long after they happened; kept and reported.
        held: quarantined ones: suspicious, visible, and open to appeal.
        excluded: those taken out after review, or withdrawn.
        duplicates: repeats of events already folded; outside of the equation.
        synthetic: probes and drills; outside of the equation.
    """

    accepted: int
    counted: int
    replaced: int
    late: int
    held: int = 0
    excluded: int = 0
    duplicates: int = 0
    synthetic: int = 0

    @property
    def balanced(self) -> bool:
        """Whether accepted = counted + replaced + held + excluded + late."""
        return self.accepted == self.counted + self.replaced + self.held + self.excluded + self.late
