"""Everything that intake folds out of the stream REGISTRY."""

from collections.abc import Iterable

from services.intake.domain.approvals import ApprovalBook
from services.intake.domain.panels import PanelBook
from services.intake.domain.supervision import CampaignBook, FindingBook
from shared.kernel.regions import Division
from shared.kernel.registry_book import RegistryBook
from shared.kernel.units import Unit


class Books:
    """The books of one process; the fold fills them."""

    def __init__(self, committed: Iterable[Unit], divisions: Iterable[Division]) -> None:
        """All empty, but for the `committed` units and `divisions`, on top of which loads come."""
        self.approvals = ApprovalBook()
        self.campaigns = CampaignBook()
        self.findings = FindingBook()
        self.panels = PanelBook()
        self.registry = RegistryBook(committed, divisions)

    def forget(self) -> None:
        """Empty them in place: others hold on to them."""
        for book in (self.approvals, self.campaigns, self.findings, self.panels, self.registry):
            book.clear()
