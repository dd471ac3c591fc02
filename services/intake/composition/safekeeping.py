"""Where ratings are kept: the broker, and the spool behind it."""

from collections.abc import Container

from services.intake.adapters.jetstream_log import JetStreamFeedbackLog
from services.intake.adapters.spooled_messages import classifier, readers
from services.intake.adapters.sqlite_index import SqliteAcceptedIndex
from services.intake.adapters.sqlite_spool import SqliteSpool
from services.intake.adapters.stored_revisions import read_in_force
from services.intake.adapters.vault import JetStreamVault
from services.intake.application.draining import Drainer, DrainTally
from services.intake.application.safekeeping import AcceptingIndex, SpoolingIndex, SpoolingLog, SpoolingVault
from services.intake.domain.circuit import Circuit
from services.intake.domain.pseudonyms import Pseudonyms
from services.intake.entrypoints.spool import DrainLoop, watch_broker
from services.intake.settings import Settings
from shared.kernel.clock import Clock
from shared.kernel.units import UnitRegistry
from shared.messaging.session import BrokerSession
from shared.observability.lifecycle import TaskSupervisor


class Safe:
    """Where ratings are kept: the ports of the use cases, played by the broker with the spool behind it."""

    def __init__(
        self,
        settings: Settings,
        log: JetStreamFeedbackLog,
        vault: JetStreamVault,
        index: SqliteAcceptedIndex,
        pseudonyms: Pseudonyms,
        clock: Clock,
    ) -> None:
        self._settings, self._log, self._stored, self._index = settings, log, vault, index
        self._pseudonyms = pseudonyms
        self.circuit = Circuit()
        self.erased: Container[str] = ()
        """Vault records of which a fact says that they were destroyed."""
        self.spool = SqliteSpool(
            settings.spool_directory,
            pseudonyms,
            clock,
            max_bytes=settings.spool_max_bytes,
            max_queued=settings.max_queued,
        )
        self.index = SpoolingIndex(index, self.spool)
        self.accepting = AcceptingIndex(index, self.spool)
        self.vault = SpoolingVault(vault, self.spool, self.circuit, index)
        self.log = SpoolingLog(
            log,
            self.spool,
            vault=self.vault,
            circuit=self.circuit,
            index=index,
            classify=classifier(pseudonyms),
            read_in_force=read_in_force,
        )

    def start_tasks(
        self, tasks: TaskSupervisor, units: UnitRegistry, tally: DrainTally, session: BrokerSession
    ) -> None:
        """Start watching the broker, and draining what was spooled."""
        watch = watch_broker(session.connected, self.circuit, (self._log, self._stored))
        tasks.start("broker-watch", watch)
        tasks.start("spool-drain", self._drain_loop(units, tally, session).run())

    def _drain_loop(self, units: UnitRegistry, tally: DrainTally, session: BrokerSession) -> DrainLoop:
        drainer = Drainer(
            spool=self.spool,
            log=self._log,
            vault=self._stored,
            index=self._index,
            units=units,
            readers=readers(self._pseudonyms),
            tally=tally,
            circuit=self.circuit,
            front=self.log,
            erased=self.erased,
        )
        return DrainLoop(
            drainer,
            self.spool,
            circuit=self.circuit,
            connected=session.connected,
            index_ready=lambda: self._index.ready,
            probe=self._log.probe,
            per_second=self._settings.spool_drain_per_s,
        )
