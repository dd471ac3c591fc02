"""A lease 租约: of several replicas of a service one leads, and everybody else knows that it does.

The lease is one key of the bucket ``leases`` that disappears by itself unless its holder renews it in time
(``Nats-TTL``). Taking and renewing state the sequence that they replace, so the broker lets one go on.
A holder counts its time from before it asked, so it always stops before the broker lets another in. What a
process does between looking at its lease and writing can't be bounded (it may be frozen there); therefore a
lease saves work and noise, and the store's own fence remains what correctness rests on (ADR 0015).
"""

import asyncio
import math
import time
from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

import structlog
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.errors import APIError, NotFoundError
from nats.js.errors import Error as JetStreamError

from shared.kernel.errors import TransientError, describe
from shared.messaging.group_commit import WRONG_LAST_SEQUENCE
from shared.messaging.publisher import BrokerUnavailableError
from shared.messaging.session import BrokerSession
from shared.messaging.streams import LEASES_BUCKET

log = structlog.get_logger(__name__)

STREAM: Final = f"KV_{LEASES_BUCKET}"
PREFIX: Final = f"$KV.{LEASES_BUCKET}."
TIMEOUT_S: Final = 2.0
RELEASED_TTL_S: Final = 1.0


class LeaseTimes(NamedTuple):
    """Seconds that a lease goes by.

    Attributes:
        ttl_s: life of an unrenewed lease; the broker looks once a second, so that another leads after six.
        renew_s: from one renewal to the next.
        contend_s: how often a replica that does not lead looks whether it may.
        margin_s: a holder stops so long before its lease ends, to finish what is on its way.
    """

    ttl_s: float = 5.0
    renew_s: float = 1.5
    contend_s: float = 0.5
    margin_s: float = 1.0


class LeaseConflictError(TransientError):
    """Somebody else wrote the lease since we read it."""


class NotLeaderError(TransientError):
    """Another replica leads, or nobody yet; nothing may be published here."""


class LeaseRecord(NamedTuple):
    """What stands in the bucket.

    Attributes:
        holder: who leads; empty if the last one let go.
        sequence: what the next write must state that it replaces.
    """

    holder: str
    sequence: int


class LeaseStore(Protocol):
    """Role: keeps leases, lets one writer at a time go on, and forgets what is not renewed."""

    async def read(self, key: str) -> LeaseRecord | None:
        """The lease ``key``; None if nobody has it.

        Raises:
            BrokerUnavailableError: no answer.
        """
        ...

    async def write(self, key: str, holder: str, ttl_s: float, replaces: int) -> int:
        """Write the lease for whole seconds from ``ttl_s`` up, if ``replaces`` still stands (0: nothing).

        Returns:
            Its new sequence.

        Raises:
            LeaseConflictError: another sequence stands there.
            BrokerUnavailableError: it is not known whether it was written.
        """
        ...


class Lease:
    """One replica's part in a lease: it tries to get it, keeps it, and knows at any moment whether it has it.

    Attributes:
        name: who we are; unique among all processes that live. Who bears the name of a former life that is
            certainly over goes on with its lease at once.
        term: grows whenever leadership is gained anew: whatever was known of the world before is stale then.
    """

    def __init__(
        self,
        store: LeaseStore,
        key: str,
        name: str,
        *,
        times: LeaseTimes = LeaseTimes(),  # noqa: B008 - an immutable value
        monotonic: Callable[[], float] = time.monotonic,
        on_change: Callable[[bool], None] = lambda _leads: None,
    ) -> None:
        """Contend for ``key`` as ``name`` once :meth:`keep` runs; ``on_change`` is told True and False."""
        self.name = name
        self.term = 0
        self._store = store
        self._key = key
        self._times = times
        self._monotonic = monotonic
        self._on_change = on_change
        self._sequence: int | None = None
        self._deadline = -math.inf
        self._in_doubt = False
        self._told = False
        self._holder = ""

    @property
    def is_leader(self) -> bool:
        """Whether this replica leads right now: it holds the lease, and its time has not run out."""
        return self._sequence is not None and self._monotonic() < self._deadline

    @property
    def leading_term(self) -> int | None:
        """The term that we lead in right now; None while we do not."""
        return self.term if self.is_leader else None

    @property
    def holder(self) -> str:
        """Who led when we last looked; empty for nobody."""
        return self.name if self.is_leader else self._holder

    def check(self) -> None:
        """Do nothing while we lead; call it right before each write that only the leader may make.

        Raises:
            NotLeaderError: we do not lead, or have not renewed in time (the process may have been frozen).
        """
        if not self.is_leader:
            raise NotLeaderError(
                describe(
                    f"{self._key} led by {self.holder or 'nobody'}",
                    f"to be led by {self.name}",
                    "nothing to do; the leader publishes",
                )
            )

    async def keep(self) -> None:
        """Contend and renew, for ever; cancel it and then :meth:`release`."""
        while True:
            await self.step()
            await asyncio.sleep(self._times.renew_s if self.is_leader else self._times.contend_s)

    async def step(self) -> None:
        """One attempt to get the lease or to renew it; never raises for a broker that is away."""
        try:
            await self._attempt()
        except LeaseConflictError:
            self._lose("somebody else wrote it")
        except BrokerUnavailableError as error:
            # Perhaps written: the next step reads what stands there. Until the deadline we still lead.
            self._in_doubt = True
            log.warning("lease_in_doubt", lease=self._key, reason=str(error))
        if self._sequence is not None and not self.is_leader:
            self._lose("not renewed in time")
        self._tell()

    async def _attempt(self) -> None:
        replaces = self._sequence
        if replaces is None or self._in_doubt:
            found = await self._store.read(self._key)
            self._holder = found.holder if found is not None else ""
            if found is not None and found.holder not in {"", self.name}:
                self._lose(f"{found.holder} has it")
                return
            replaces = found.sequence if found is not None else 0
        asked_at = self._monotonic()
        sequence = await self._store.write(self._key, self.name, self._times.ttl_s, replaces)
        if not self.is_leader:
            # Also when our own old lease was still there, unrenewed for too long: a pause is a new term.
            self.term += 1
            log.info("lease_gained", lease=self._key, holder=self.name, term=self.term)
        self._in_doubt = False
        self._sequence = sequence
        self._deadline = asked_at + self._times.ttl_s - self._times.margin_s

    def _lose(self, why: str) -> None:
        if self._sequence is not None:
            log.warning("lease_lost", lease=self._key, holder=self.name, reason=why)
        self._sequence, self._deadline = None, -math.inf

    def _tell(self) -> None:
        if self._told != self.is_leader:
            self._told = not self._told
            self._on_change(self._told)

    async def release(self) -> None:
        """Let another replica lead at once, if we led; if the broker is away, the lease runs out."""
        sequence = self._sequence
        self._lose("released")
        self._tell()
        if sequence is None:
            return
        try:
            await self._store.write(self._key, "", RELEASED_TTL_S, sequence)
        except (LeaseConflictError, BrokerUnavailableError) as error:
            log.warning("lease_not_released", lease=self._key, reason=str(error))


class NatsLeaseStore:
    """See `LeaseStore`: keys of the bucket ``leases``, which must have been provisioned."""

    def __init__(self, client: Client) -> None:
        """Use the bucket through ``client``, which must have been let write the keys in question."""
        self._client = client
        self._jetstream = client.jetstream(timeout=TIMEOUT_S)

    async def read(self, key: str) -> LeaseRecord | None:
        """See :meth:`LeaseStore.read`."""
        try:
            found = await self._jetstream.get_last_msg(STREAM, PREFIX + key, direct=True)
        except NotFoundError:
            return None
        except (NatsError, JetStreamError, TimeoutError, OSError) as error:
            raise _unavailable(key, error) from error
        return LeaseRecord((found.data or b"").decode(), int(found.seq or 0))

    async def write(self, key: str, holder: str, ttl_s: float, replaces: int) -> int:
        """See :meth:`LeaseStore.write`."""
        if not self._client.is_connected:
            # It would be sent after the reconnect, when nobody waits for it any more.
            raise _unavailable(key, "there is no connection")
        headers = {
            "Nats-Expected-Last-Subject-Sequence": str(replaces),
            "Nats-TTL": f"{math.ceil(ttl_s)}s",
        }
        try:
            answer = await self._jetstream.publish(PREFIX + key, holder.encode(), headers=headers)
        except APIError as error:
            if error.err_code in WRONG_LAST_SEQUENCE:
                raise LeaseConflictError(
                    describe(f"another lease of {key}", f"sequence {replaces}", "read it again")
                ) from error
            raise _unavailable(key, error) from error
        except (NatsError, JetStreamError, TimeoutError, OSError) as error:
            raise _unavailable(key, error) from error
        return answer.seq


class SessionLeaseStore:
    """See `LeaseStore`: over a session, for a service that contends before it was ever connected."""

    def __init__(self, session: BrokerSession) -> None:
        """Use the connection of ``session``, whenever it has one."""
        self._session = session

    async def read(self, key: str) -> LeaseRecord | None:
        """See :meth:`LeaseStore.read`."""
        return await NatsLeaseStore(self._session.client).read(key)

    async def write(self, key: str, holder: str, ttl_s: float, replaces: int) -> int:
        """See :meth:`LeaseStore.write`."""
        return await NatsLeaseStore(self._session.client).write(key, holder, ttl_s, replaces)


def _unavailable(key: str, error: BaseException | str) -> BrokerUnavailableError:
    return BrokerUnavailableError(
        describe(f"lease {key}", f"an answer from {STREAM}", f"it is tried again: {error!r}")
    )
