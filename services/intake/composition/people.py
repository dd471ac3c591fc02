"""What guards people's data."""

from fastapi import FastAPI

from services.intake.adapters.jetstream_log import JetStreamFeedbackLog
from services.intake.adapters.live_keys import VaultKeyFile
from services.intake.adapters.people_log import PeopleFold
from services.intake.adapters.people_metrics import PeopleMetrics
from services.intake.adapters.sealing import key_of_record
from services.intake.adapters.sqlite_index import SqliteAcceptedIndex
from services.intake.adapters.vault import JetStreamVault
from services.intake.adapters.waiting_people import SpooledPeople, WaitingRatings
from services.intake.application.keeping import Keeper
from services.intake.application.people import Custodian
from services.intake.application.prepared import RandomBytes
from services.intake.application.revising import Reviser
from services.intake.composition.safekeeping import Safe
from services.intake.domain.pseudonyms import Pseudonyms
from services.intake.entrypoints.http import HttpParts
from services.intake.entrypoints.keeping import KeeperState, keep_vault
from services.intake.entrypoints.people import PeopleParts, add_people_routes
from services.intake.settings import Settings
from shared.messaging.session import BrokerSession
from shared.observability.lifecycle import TaskSupervisor
from shared.observability.metrics import ServiceMetrics


class People:
    """Composes what guards people's data: the facts' fold, the custodian, the vault's keeper."""

    def __init__(  # noqa: PLR0913 - what it composes
        self,
        app: FastAPI,
        settings: Settings,
        key_file: VaultKeyFile,
        session: BrokerSession,
        metrics: ServiceMetrics,
        reviser: Reviser,
        http_parts: HttpParts,
        *,
        log: JetStreamFeedbackLog,
        vault: JetStreamVault,
        safe: Safe,
        index: SqliteAcceptedIndex,
        pseudonyms: Pseudonyms,
        random_bytes: RandomBytes,
    ) -> None:
        self._settings, self._key_file, self._index = settings, key_file, index
        self._clock = http_parts.clock
        self._metrics = PeopleMetrics(metrics)
        self._fold = PeopleFold(session.wait_ready)
        safe.erased = self._fold
        self._keeper = Keeper(
            vault=vault,
            sealer=key_file.sealer,
            key_of=key_of_record,
            log=log,
            index=index,
            pseudonyms=pseudonyms,
            erased=self._fold,
            after_days=settings.vault_sweep_after_days,
            horizon_days=settings.index_horizon_days,
        )
        self._state = KeeperState(key_file.keys)
        custodian = Custodian(
            reviser=reviser,
            log=log,
            waiting=WaitingRatings(safe.spool),
            vault=SpooledPeople(vault, safe.vault),
            people=self._fold,
            units=http_parts.units,
            rules=http_parts.rules,
            clock=self._clock,
            random=random_bytes,
            tally=self._metrics,
        )
        app.state.vault = vault
        add_people_routes(app, PeopleParts(custodian, self._state, settings, http_parts.random))

    def start(self, tasks: TaskSupervisor) -> None:
        """Start the fold and the keeper."""
        tasks.start("people-fold", self._fold.run())
        keeping = keep_vault(
            self._keeper,
            self._state,
            key_file=self._key_file,
            wait_ready=self._wait_ready,
            metrics=self._metrics,
            clock=self._clock,
            every_s=self._settings.vault_pass_every_s,
            look_s=self._settings.key_look_s,
        )
        tasks.start("vault-keeper", keeping)

    async def _wait_ready(self) -> None:
        await self._index.wait_ready()
        await self._fold.wait_known()
