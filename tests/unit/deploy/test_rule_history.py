"""Which rules history shows, and that replaying one finds the alert that was raised."""

from deploy.local.history.alerts import COUNTED, SOURCES
from services.notify.application.disabling import DisableEndpoint
from services.notify.domain.catalogue import RULES
from services.notify.domain.channels import Endpoint
from shared.events import AlertRaised, Envelope, parse_envelope, spec_for_data
from shared.events.endpoints import EndpointDisabled
from shared.kernel.units import load_units
from tests.unit.notify.support import PACK, SetClock, Stream
from tests.unit.notify.test_handlers import raised


def test_history_shows_every_rule_but_the_one_about_the_clock() -> None:
    assert set(RULES) - {*SOURCES, *COUNTED} == {"ranking_stale"}


def test_the_events_of_a_rule_are_on_its_subject() -> None:
    for rule, (stream, subject, data, _) in SOURCES.items():
        if data is not None:
            spec = spec_for_data(data)
            assert spec.stream == stream, rule
            assert spec.subject_for().startswith(subject), rule


async def test_an_endpoint_that_wanted_no_more_is_found_again() -> None:
    stream = Stream()
    disable = DisableEndpoint(publisher=stream, clock=SetClock(), in_use=lambda: ("email",))
    await disable(Endpoint("webhook.a", "example.org", "m", (5.0,)), await raised(stream), "410")
    *_, fact, told = stream.events
    assert isinstance(told.data, AlertRaised)
    _, _, _, judge = SOURCES["channel_disabled"]
    (found,) = judge(parse_envelope(Envelope[EndpointDisabled], fact.to_json()), PACK, load_units())
    assert (found.alert_id, found.title) == (told.id, told.data.title)
    assert found.evidence == told.data.evidence
