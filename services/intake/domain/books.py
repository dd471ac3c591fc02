"""Everything that intake folds out of the stream REGISTRY."""

from services.intake.domain.approvals import ApprovalBook
from services.intake.domain.panels import PanelBook
from services.intake.domain.supervision import CampaignBook, FindingBook


class Books:
    """The books of one process; the fold fills them."""

    def __init__(self) -> None:
        """All empty."""
        self.approvals = ApprovalBook()
        self.campaigns = CampaignBook()
        self.findings = FindingBook()
        self.panels = PanelBook()

    def forget(self) -> None:
        """Empty them in place: others hold on to them."""
        for book in (self.approvals, self.campaigns, self.findings, self.panels):
            book.clear()
