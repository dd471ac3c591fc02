"""What intake takes a channel's word for, how long tokens live, and how much may come from one place.

Optional in a pack: `[intake.channels]`, `[intake.tokens]` and `[intake.quotas]`; a pack without them goes by
the defaults here, which are those of the shipped pack.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, TypeVar

from shared.kernel.grades import Channel, Source

if TYPE_CHECKING:
    from shared.rules.table import Table

_E = TypeVar("_E", bound=StrEnum)


class Proof(StrEnum):
    """What a rating can prove by itself; the channel decides what it is believed."""

    TOKEN = "token"  # noqa: S105 - a kind of proof
    TRANSACTION = "transaction"
    REAL_NAME = "real_name"
    ONSITE = "onsite"


@dataclass(frozen=True, slots=True)
class ChannelPolicy:
    """What one channel is believed.

    Attributes:
        proofs: a one-time token, a transaction that the client names, a real name, presence at the window.
        sources: who may appraise through it.
    """

    proofs: tuple[Proof, ...]
    sources: tuple[Source, ...]


@dataclass(frozen=True, slots=True)
class TokenRules:
    """How long one-time tokens are valid, in days, and how many are issued at once."""

    default_days: int = 30
    max_days: int = 180
    max_count: int = 10_000


class QuotaKind(StrEnum):
    """What ratings are counted by."""

    TOKEN = "token"  # noqa: S105 - what is counted by
    DEVICE = "device"
    TERMINAL = "terminal"
    ADDRESS = "address"
    CHANNEL = "channel"
    CREDENTIAL = "credential"


@dataclass(frozen=True, slots=True)
class Quota:
    """At most `limit` ratings within any `seconds` seconds."""

    limit: int
    seconds: int


@dataclass(frozen=True, slots=True)
class Quotas:
    """How many ratings may come from one place.

    Attributes:
        self_service: channels of citizens' own devices. There `device` and `address` count; elsewhere a
            device is a terminal or a desk with a queue before it, and an address is that of a whole hall.
        token: attempts with one token.
        device: one citizen's device.
        terminal: one device of the service.
        address: one network address, of IPv6 one /64.
        channel: all that comes through one channel.
        channels: the same for channels that differ; not to be changed.
        credential: all that comes in by one key of a channel system, imports apart.
    """

    self_service: tuple[Channel, ...] = (Channel.QR, Channel.WEB, Channel.APP, Channel.SMS)
    token: Quota = Quota(20, 3600)
    device: Quota = Quota(30, 3600)
    terminal: Quota = Quota(2_000, 3600)
    address: Quota = Quota(1_000, 3600)
    channel: Quota = Quota(200_000, 3600)
    channels: Mapping[Channel, Quota] = field(
        default_factory=lambda: MappingProxyType(
            {Channel.TERMINAL: Quota(20_000_000, 3600), Channel.IMPORT: Quota(20_000_000, 3600)}
        )
    )
    credential: Quota = Quota(200_000, 3600)


def _policy(proofs: str, sources: str) -> ChannelPolicy:
    return ChannelPolicy(tuple(map(Proof, proofs.split())), tuple(map(Source, sources.split())))


_EVERYBODY: Final = "self mutual spot_check social public"
DEFAULT_CHANNELS: Final[Mapping[Channel, ChannelPolicy]] = MappingProxyType(
    {
        Channel.TERMINAL: _policy("token transaction real_name onsite", "public"),
        Channel.QR: _policy("token real_name onsite", "public"),
        Channel.WEB: _policy("token real_name", "public"),
        Channel.APP: _policy("token real_name", "public"),
        Channel.SMS: _policy("token transaction real_name", "public"),
        Channel.HOTLINE: _policy("token transaction real_name", "public"),
        Channel.OPINION_BOX: _policy("token real_name", "public"),
        Channel.PAPER: _policy("token transaction real_name", _EVERYBODY),
        Channel.FORUM: _policy("real_name", "social public"),
        Channel.VISIT: _policy("token transaction real_name", "social public"),
        Channel.ASSESSOR: _policy("real_name", "social"),
        Channel.COMPLAINT_DESK: _policy("token transaction real_name", "public"),
        Channel.UNDERCOVER: _policy("real_name", "spot_check"),
        Channel.IMPORT: _policy("token transaction real_name", _EVERYBODY),
    }
)


def parse_channels(table: "Table") -> Mapping[Channel, ChannelPolicy]:
    """Read `[intake.channels]`: one entry for each channel."""
    found: dict[Channel, ChannelPolicy] = {}
    for channel in Channel:
        entry = table.table(channel.value)
        found[channel] = ChannelPolicy(_words(entry, "proofs", Proof), _words(entry, "sources", Source))
        if entry.keys() and not found[channel].sources:
            entry.note("sources", [], "at least one source", "name who may appraise through the channel")
        entry.done()
    table.done()
    return MappingProxyType(found)


def parse_tokens(table: "Table") -> TokenRules:
    """Read `[intake.tokens]`."""
    found = TokenRules(
        default_days=table.integer("default_days", 1, 400),
        max_days=table.integer("max_days", 1, 400),
        max_count=table.integer("max_count", 1, 100_000),
    )
    if found.default_days > found.max_days:
        table.note("default_days", found.default_days, f"at most max_days ({found.max_days})", "lower it")
    table.done()
    return found


def parse_quotas(table: "Table") -> Quotas:
    """Read `[intake.quotas]`."""
    channels: dict[Channel, Quota] = {}
    if "channels" in table.keys():  # noqa: SIM118 - a method of ours, not a dict
        inner = table.table("channels")
        for channel in Channel:
            if channel.value in inner.keys():  # noqa: SIM118 - the same
                channels[channel] = _quota(inner, channel.value)
        inner.done()
    found = Quotas(
        self_service=_words(table, "self_service", Channel),
        token=_quota(table, "token"),
        device=_quota(table, "device"),
        terminal=_quota(table, "terminal"),
        address=_quota(table, "address"),
        channel=_quota(table, "channel"),
        channels=MappingProxyType(channels),
        credential=(
            _quota(table, "credential")
            if "credential" in table.keys()  # noqa: SIM118 - the same
            else Quotas().credential
        ),
    )
    table.done()
    return found


def _quota(table: "Table", key: str) -> Quota:
    entry = table.table(key)
    found = Quota(entry.integer("limit", 1, 1_000_000_000), entry.integer("seconds", 1, 86_400))
    entry.done()
    return found


def _words(table: "Table", key: str, words: type[_E]) -> tuple[_E, ...]:
    names = ", ".join(word.value for word in words)
    value = table.value(key, f"a list of some of {names}")
    if isinstance(value, list):
        known = tuple(word for word in words if word.value in value)
        if len(known) == len(value):
            return known
    if value is not None:
        table.note(key, value, f"a list of some of {names}, each once", "correct the list")
    return ()
