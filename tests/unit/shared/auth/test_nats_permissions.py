import pytest

from deploy.local.secrets import BROKER_USERS, new_user_seed, user_public_key
from shared.auth.nats_permissions import READER, authorization_config, permissions_for, users
from shared.events import EVENTS
from shared.events.catalogue import producers_of, services, subject_covers
from shared.kernel.errors import InvalidValueError
from shared.messaging.streams import CONSUMERS, STREAMS

KEYS = {user: user_public_key(new_user_seed()) for user in users()}
NOT_PUBLIC = [stream for stream in STREAMS if stream.name not in ("RANKING", "KV_rankings")]


def test_every_user_with_a_seed_has_permissions() -> None:
    assert set(BROKER_USERS) == set(users())


@pytest.mark.parametrize("service", services())
def test_a_service_publishes_its_own_events_and_no_others(service: str) -> None:
    allowed = permissions_for(service).publish
    for spec in EVENTS:
        may = any(subject_covers(subject, spec.pattern) for subject in allowed)
        assert may == (service in producers_of(spec)), spec.name


@pytest.mark.parametrize("service", services())
def test_a_service_uses_its_own_durables_and_no_others(service: str) -> None:
    permissions = permissions_for(service)
    for consumer in CONSUMERS:
        pull = f"$JS.API.CONSUMER.MSG.NEXT.{consumer.stream}.{consumer.durable}"
        allowed = any(subject_covers(subject, pull) for subject in permissions.publish)
        denied = pull in permissions.publish_deny
        assert (allowed and not denied) == (consumer.service == service)


@pytest.mark.parametrize("user", [*services(), "cli"])
def test_nobody_but_the_provisioner_changes_streams_or_durables(user: str) -> None:
    permissions = permissions_for(user)
    for subject in permissions.publish:
        assert not subject_covers(subject, "$JS.API.STREAM.CREATE.X")
        assert not subject_covers(subject, "$JS.API.STREAM.UPDATE.FEEDBACK")
        assert not subject_covers(subject, "$JS.API.STREAM.DELETE.FEEDBACK")
        assert subject not in (">", "$JS.>", "$JS.API.>")
    for consumer in CONSUMERS:
        delete = f"$JS.API.CONSUMER.DELETE.{consumer.stream}.{consumer.durable}"
        allowed = any(subject_covers(subject, delete) for subject in permissions.publish)
        assert not allowed or delete in permissions.publish_deny


@pytest.mark.parametrize("service", [*services(), "provisioner"])
def test_a_service_subscribes_to_its_own_inbox_only(service: str) -> None:
    assert permissions_for(service).subscribe == (f"_INBOX_{service}.>",)


@pytest.mark.parametrize("stream", NOT_PUBLIC, ids=lambda stream: stream.name)
def test_nothing_that_the_reader_may_do_names_a_stream_that_is_not_public(stream: object) -> None:
    reader = permissions_for(READER)
    name, subjects = getattr(stream, "name", ""), getattr(stream, "subjects", ())
    assert name
    assert not [each for each in reader.publish if name in each.split(".")]
    assert not [each for each in reader.subscribe for subject in subjects if subject_covers(each, subject)]
    assert reader.publish_deny == ()


def test_the_reader_may_ask_for_stored_messages_and_nothing_else() -> None:
    assert all(each.startswith("$JS.API.DIRECT.GET.") for each in permissions_for(READER).publish)


def test_the_same_keys_give_the_same_text() -> None:
    assert authorization_config(KEYS) == authorization_config(dict(reversed(KEYS.items())))
    assert all(key in authorization_config(KEYS) for key in KEYS.values())


def test_a_user_without_a_key_is_left_out() -> None:
    text = authorization_config({"intake": KEYS["intake"]})
    assert text.count("nkey:") == 1


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("nobody", KEYS["intake"]),
        ("reader", KEYS["intake"]),
        ("intake", ""),
        ("intake", new_user_seed()),
        ("intake", 'U" }] }'),
    ],
    ids=["unknown user", "the reader has no key", "empty", "a seed", "configuration text"],
)
def test_an_unknown_user_or_a_wrong_key_is_refused(name: str, key: str) -> None:
    with pytest.raises(InvalidValueError, match="expected"):
        authorization_config({name: key})


def test_a_refused_key_is_not_a_seed_that_the_message_repeats() -> None:
    seed = new_user_seed()
    with pytest.raises(InvalidValueError) as refused:
        authorization_config({"intake": seed})
    assert seed not in str(refused.value)
