"""Who may do what on the broker: least privilege, derived from events, streams and consumers.

Two accounts. ``PINGYI`` holds the streams and one NKey user for each service, the provisioner and the command
line. ``READERS`` holds the anonymous outside reader, who sees nothing but what ``PINGYI`` exports to it: the
public events and the current rankings. An account of its own, because within one account whoever may ask the
broker anything can name any subject as the reply's address and so have the broker write into a stream.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache

from shared.events.catalogue import folded_streams, producers_of, services, stream_of
from shared.events.registry import ANY_SERVICE, EVENTS
from shared.kernel.errors import InvalidValueError
from shared.messaging.streams import (
    CASEKEYS,
    CONSUMERS,
    INTEGRITY_BUCKET,
    LEASES_BUCKET,
    NONCES_BUCKET,
    NOTIFY_RATINGS,
    POSITIONS_BUCKET,
    QUOTAS_BUCKET,
    RANKINGS_BUCKET,
    SNAPSHOTS_BUCKET,
    STREAMS,
    TIMERS,
    VAULT,
    StreamSpec,
)

PROVISIONER = "provisioner"
CLI = "cli"
READER = "reader"
ACCOUNT = "PINGYI"
READERS_ACCOUNT = "READERS"
MOST_READERS = 768
"""Connections that readers have at once: the broker's others (1,024 in all) are the services'."""

RANKINGS_STREAM = f"KV_{RANKINGS_BUCKET}"
KEYS = (VAULT, CASEKEYS)
"""Streams of what opens people's texts: nobody but their owner reads them."""
OWNED_STORES: Mapping[str, tuple[str, ...]] = {
    "intake": (VAULT, f"KV_{QUOTAS_BUCKET}"),
    "scoring": (RANKINGS_STREAM, f"KV_{INTEGRITY_BUCKET}"),
    "rectify": (TIMERS, CASEKEYS),
}
"""Streams without events that one service uses as its store: it writes, reads and deletes there."""
OWNED_KEYS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "intake": ((f"KV_{LEASES_BUCKET}", f"$KV.{LEASES_BUCKET}.intake"),),
    "scoring": ((f"KV_{LEASES_BUCKET}", f"$KV.{LEASES_BUCKET}.scoring"),
                (f"KV_{SNAPSHOTS_BUCKET}", f"$KV.{SNAPSHOTS_BUCKET}.scoring")),
    "notify": ((f"KV_{POSITIONS_BUCKET}", f"$KV.{POSITIONS_BUCKET}.{NOTIFY_RATINGS}"),),
    "archive": ((f"KV_{LEASES_BUCKET}", f"$KV.{LEASES_BUCKET}.archive"),),
    "rectify": ((f"KV_{LEASES_BUCKET}", f"$KV.{LEASES_BUCKET}.rectify"),),
}  # fmt: skip
"""Single keys, by their stream, that one service writes and reads in a bucket that it shares with others."""
WRITTEN_KEYS: Mapping[str, tuple[str, ...]] = {"intake": (f"$KV.{NONCES_BUCKET}.*",)}
"""Keys that one service writes and nobody reads: whether they were there already is all it wants to know."""
OWNED_OBJECTS: Mapping[str, tuple[str, ...]] = {"scoring": (f"OBJ_{SNAPSHOTS_BUCKET}",)}
"""Object stores of one service: it writes, reads and purges objects, and needs no consumer for it."""
_NKEY = re.compile(r"U[A-Z2-7]{55}")
_API = "$JS.API"
_STREAMS: Mapping[str, StreamSpec] = {stream.name: stream for stream in STREAMS}


@dataclass(frozen=True, slots=True)
class Permissions:
    """Subjects that a user may publish and subscribe; ``publish_deny`` wins over ``publish``. Sorted."""

    publish: tuple[str, ...]
    publish_deny: tuple[str, ...]
    subscribe: tuple[str, ...]

    @classmethod
    def of(
        cls, publish: Iterable[str], subscribe: Iterable[str], publish_deny: Iterable[str] = ()
    ) -> "Permissions":
        """Without repeats, in a fixed order, so that the same catalogue gives the same bytes."""
        return cls(*(tuple(sorted(set(each))) for each in (publish, publish_deny, subscribe)))


def users() -> tuple[str, ...]:
    """Every NKey user: the services, the provisioner, the command line."""
    return (*services(), PROVISIONER, CLI)


@cache
def permissions_for(user: str) -> Permissions:
    """What ``user`` (one of :func:`users`, or ``reader``) may do in its account.

    Raises:
        InvalidValueError: no such user.
    """
    if user == READER:
        return _reader()
    if user == PROVISIONER:
        # Backups: the broker's snapshots of streams are asked for, and taken back, on subjects of their own.
        return Permissions.of([f"{_API}.>", "$JS.SNAPSHOT.>"], [_inbox(user)])
    if user == CLI:
        return _cli()
    if user in services():
        return _service(user)
    raise InvalidValueError(user, f"one of {', '.join((*users(), READER))}", "correct the name of the user")


def _service(name: str) -> Permissions:
    written = [spec for spec in EVENTS if name in producers_of(spec)]
    durables = [consumer for consumer in CONSUMERS if consumer.service == name]
    folded, owned = folded_streams(name), OWNED_STORES.get(name, ())
    looked_into = {
        *(spec.stream for spec in written if spec.producers != (ANY_SERVICE,)),
        *(consumer.stream for consumer in durables),
        *folded,
        *owned,
    }
    publish = [spec.pattern for spec in written]
    for stream in looked_into:
        publish += _look(stream)
    for consumer in durables:
        path = f"{consumer.stream}.{consumer.durable}"
        publish += [
            f"{_API}.CONSUMER.INFO.{path}",
            f"{_API}.CONSUMER.MSG.NEXT.{path}",
            f"$JS.ACK.{path}.>",
        ]
    for stream in (*folded, *owned):
        publish += _read_by_ephemeral(stream)
    for stream in owned:
        publish += [*_STREAMS[stream].subjects, f"{_API}.STREAM.MSG.DELETE.{stream}"]
        publish += [f"{_API}.STREAM.PURGE.{stream}"]
    for stream, key in OWNED_KEYS.get(name, ()):
        publish += [key, f"{_API}.DIRECT.GET.{stream}.{key}"]
    publish += WRITTEN_KEYS.get(name, ())
    for stream in OWNED_OBJECTS.get(name, ()):
        publish += [*_STREAMS[stream].subjects, f"{_API}.STREAM.INFO.{stream}"]
        publish += [f"{_API}.DIRECT.GET.{stream}", f"{_API}.STREAM.PURGE.{stream}"]
    return Permissions.of(publish, [_inbox(name)], _protect_durables(folded, of_others_than=name))


def _cli() -> Permissions:
    readable = [stream.name for stream in STREAMS if stream.name not in KEYS]
    publish = [f"{_API}.INFO", f"{_API}.STREAM.NAMES", f"{_API}.STREAM.LIST"]
    publish += [f"{_API}.STREAM.INFO.{stream}" for stream in KEYS]
    for stream in readable:
        publish += [*_look(stream), *_read_by_ephemeral(stream)]
        publish += [f"{_API}.CONSUMER.LIST.{stream}", f"{_API}.CONSUMER.NAMES.{stream}"]
    # From the context on, so that an operator may leave the version open: `feedback.>`.
    events = [f"{subject.split('.')[0]}.>" for stream in readable for subject in _STREAMS[stream].subjects]
    return Permissions.of(publish, [_inbox(CLI), *events], _protect_durables(readable, of_others_than=CLI))


def _reader() -> Permissions:
    return Permissions.of(_public_requests(), [*_public_subjects(), "_INBOX.>"])


def _public_subjects() -> tuple[str, ...]:
    """What flows to readers: every token after the context may be narrowed by the subscriber."""
    public = {subject for spec in EVENTS if spec.public for subject in stream_of(spec).subjects}
    return tuple(sorted(public | set(_STREAMS[RANKINGS_STREAM].subjects)))


def _public_requests() -> tuple[str, ...]:
    """What readers may ask: direct reads of stored messages. No consumers, which cost the broker memory."""
    public = sorted({spec.stream for spec in EVENTS if spec.public} | {RANKINGS_STREAM})
    return tuple(
        request
        for stream in public
        for request in (f"{_API}.DIRECT.GET.{stream}", f"{_API}.DIRECT.GET.{stream}.>")
    )


def _inbox(user: str) -> str:
    # Own prefixes: with the common `_INBOX.>` everybody could listen to everybody's answers.
    return f"_INBOX_{user}.>"


def _look(stream: str) -> list[str]:
    """Requests that read a stream without a consumer."""
    return [
        f"{_API}.STREAM.INFO.{stream}",
        f"{_API}.STREAM.MSG.GET.{stream}",
        f"{_API}.DIRECT.GET.{stream}",
        f"{_API}.DIRECT.GET.{stream}.>",
    ]


def _read_by_ephemeral(stream: str) -> list[str]:
    """Requests of a reader that makes its own consumer: folds, KV watches. Names can't be matched in part."""
    # Only KV watches leave the naming to the broker; that request names no consumer that could be denied.
    unnamed = [f"{_API}.CONSUMER.CREATE.{stream}"] if stream == RANKINGS_STREAM else []
    return [
        *unnamed,
        f"{_API}.CONSUMER.CREATE.{stream}.>",
        f"{_API}.CONSUMER.INFO.{stream}.*",
        f"{_API}.CONSUMER.MSG.NEXT.{stream}.*",
        f"{_API}.CONSUMER.DELETE.{stream}.*",
        f"$JS.FC.{stream}.>",
    ]


def _protect_durables(streams: Iterable[str], *, of_others_than: str) -> list[str]:
    """Deny what :func:`_read_by_ephemeral` would allow on provisioned durables: changing and stealing."""
    denied = []
    for consumer in CONSUMERS:
        if consumer.stream not in streams:
            continue
        path = f"{consumer.stream}.{consumer.durable}"
        denied += [
            f"{_API}.CONSUMER.CREATE.{path}",
            f"{_API}.CONSUMER.CREATE.{path}.>",
            f"{_API}.CONSUMER.DELETE.{path}",
        ]
        if consumer.service != of_others_than:
            denied.append(f"{_API}.CONSUMER.MSG.NEXT.{path}")
    return denied


def authorization_config(public_keys: Mapping[str, str], *, most_readers: int = MOST_READERS) -> str:
    """The accounts of the nats-server as configuration text, to stand at the top level of its file.

    ``public_keys`` maps names of :func:`users` to NKey public keys; users without a key get no access.
    Connections without credentials become the reader, ``most_readers`` of them at a time.

    Raises:
        InvalidValueError: an unknown user, or something that is no public key of a user.
    """
    for name, key in public_keys.items():
        permissions_for(name)
        if name == READER or _NKEY.fullmatch(key) is None:
            raise InvalidValueError(
                f"{key[:2]}…",
                f"the NKey public key of {name}, 56 characters, U first",
                "derive it from the seed",
            )
    internal = [
        f'      {{ nkey: "{public_keys[name]}", {_render(permissions_for(name))} }} # {name}'
        for name in users()
        if name in public_keys
    ]
    reader = f'      {{ user: {READER}, password: "", {_render(permissions_for(READER))} }}'
    return "\n".join(
        [
            "# Generated by shared.auth.nats_permissions; changes are overwritten.",
            "accounts {",
            f"  {ACCOUNT} {{",
            "    jetstream: enabled",
            "    users: [",
            *internal,
            "    ]",
            "    exports: [",
            *(f'      {{ stream: "{each}", accounts: [{READERS_ACCOUNT}] }}' for each in _public_subjects()),
            *(
                f'      {{ service: "{each}", response_type: stream, accounts: [{READERS_ACCOUNT}] }}'
                for each in _public_requests()
            ),
            "    ]",
            "  }",
            f"  {READERS_ACCOUNT} {{",
            f"    limits {{ max_connections: {most_readers} }}",
            "    users: [",
            reader,
            "    ]",
            "    imports: [",
            *(
                f'      {{ stream: {{ account: {ACCOUNT}, subject: "{each}" }} }}'
                for each in _public_subjects()
            ),
            *(
                f'      {{ service: {{ account: {ACCOUNT}, subject: "{each}" }} }}'
                for each in _public_requests()
            ),
            "    ]",
            "  }",
            "}",
            f"no_auth_user: {READER}",
            "",
        ]
    )


def _render(permissions: Permissions) -> str:
    publish = f"allow: {_list(permissions.publish)}"
    if permissions.publish_deny:
        publish += f", deny: {_list(permissions.publish_deny)}"
    return (
        f"permissions: {{ publish: {{ {publish} }}, subscribe: {{ allow: {_list(permissions.subscribe)} }} }}"
    )


def _list(subjects: Iterable[str]) -> str:
    return "[" + ", ".join(f'"{subject}"' for subject in subjects) + "]"
