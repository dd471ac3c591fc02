"""Which event ids are of ratings that are in here, for what comes back from where it was handed on to."""

from collections.abc import Iterable

from services.intake.application.errors import IndexNotReadyError
from services.intake.application.ports import AcceptedIndex
from services.intake.domain.pseudonyms import Pseudonyms
from shared.kernel.ids import is_uuid


class KnownEvents:
    """Asks the index, which knows ratings by their receipts."""

    def __init__(self, index: AcceptedIndex, pseudonyms: Pseudonyms) -> None:
        """Use these."""
        self._index = index
        self._pseudonyms = pseudonyms

    def among(self, event_ids: Iterable[str]) -> frozenset[str]:
        """Those of `event_ids` that are of ratings within the index's horizon.

        Raises:
            TransientError: the index can't say yet.
        """
        receipts = {self._pseudonyms.receipt(each): each for each in event_ids if is_uuid(each)}
        found = frozenset(receipts[each] for each in self._index.find(receipts))
        if len(found) < len(receipts) and not self._index.ready:
            raise IndexNotReadyError
        return found
