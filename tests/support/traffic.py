"""A province's ratings for screening: an honest month, and people who stuff. Seeded; bytes as intake writes.

`Traffic` numbers the messages as a stream would. Fingerprints have the form that intake gives them.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from random import Random
from typing import Final, NamedTuple

from services.intake.adapters.similarity import MinHashSketcher
from services.intake.domain.similarity import band_values
from shared.kernel.clock import SHANGHAI, rfc3339
from shared.kernel.units import Unit
from shared.testing.builders import hmac_of

TODAY: Final = datetime(2026, 11, 20, 0, 0, tzinfo=SHANGHAI)
HISTORY_DAYS: Final = 29
_BODY: Final = (
    '{"specversion":"1.0","id":"%s","source":"/pingyi/intake","type":"cn.pingyi.feedback.submitted.v1",'
    '"subject":"%s","time":"%s","datacontenttype":"application/json",'
    '"dataschema":"urn:pingyi:schema:feedback.submitted.v1","correlationid":"c","rules":"r","receivedat":"%s",'
    '"synthetic":false,"data":{"unit_id":"%s","level":"window","kind":"%s","city":"%s","county":"%s","grade":%d,'
    '"source":"public","channel":"%s","verification":"%s",%s"has_contact":false,"digest":"k1.%032x"%s}}'
)
WORDS: Final = (
    "工作人员很耐心", "材料一次说清", "不用跑第二趟", "窗口整洁有序", "等了一个多小时", "态度生硬不愿解释",
    "叫号系统坏了", "讲解政策细致", "老人也能听懂", "停车不方便", "网上预约挺好", "复印要到隔壁",
    "十分钟就办完了", "指示牌不清楚",
    "中午没人值班", "证件当场拿到", "电话总是占线", "同志主动上门", "流程比去年快", "希望多开窗口",
)  # fmt: skip
UNVERIFIED: Final = (("web", "anonymous"), ("qr", "onsite"), ("app", "real_name"))
CLAIMED: Final = "transaction"
_sketch: Final = MinHashSketcher()


@dataclass(frozen=True, slots=True)
class Message:
    """What a fold needs of a stored message."""

    subject: str
    data: bytes
    sequence: int


class Rated(NamedTuple):
    """One rating.

    Attributes:
        at: when it was given and received.
        device: any name of the device; None if unknown.
        hostile: whether nobody meant it.
    """

    at: datetime
    unit: Unit
    grade: int
    channel: str
    verification: str
    device: str | None = None
    address: str | None = None
    text: str | None = None
    hostile: bool = False

    @property
    def by_token(self) -> bool:
        """Whether a one-time token proved it: what a citizen's own device names is not believed."""
        return self.verification == "transaction" and self.channel in {"qr", "web", "app"}


@dataclass
class Traffic:
    """Messages in the order of the stream, and who of them is who.

    Attributes:
        ratings: by event id.
    """

    messages: list[Message] = field(default_factory=list)
    ratings: dict[str, Rated] = field(default_factory=dict)

    def add(self, ratings: Iterable[Rated]) -> None:
        """Append ratings, in the order of their time."""
        hashes: dict[str, str] = {}
        for rated in ratings:
            number = len(self.messages) + 1
            message = Message(_subject(rated.unit), _body(rated, number, hashes), number)
            self.messages.append(message)
            self.ratings[event_id(number)] = rated


def event_id(number: int) -> str:
    """The id of the event with that number."""
    return f"00000000-0000-4000-8000-{number:012x}"


def _subject(unit: Unit) -> str:
    return f"feedback.v1.submitted.{unit.city}.{unit.county}"


def _body(rated: Rated, number: int, hashes: dict[str, str]) -> bytes:
    def hashed(name: str, value: str | None) -> str:
        if value is None:
            return ""
        if value not in hashes:
            hashes[value] = hmac_of(value)
        return f'"{name}":"{hashes[value]}",'

    unit, moment = rated.unit, rfc3339(rated.at.astimezone(UTC))
    prints = hashed("device_hmac", rated.device) + hashed("address_hmac", rated.address)
    if rated.text is not None:
        prints += hashed("text_hmac", "text " + rated.text) + _bands(unit, rated.text, hashes)
    return (
        _BODY
        % (
            event_id(number), unit.unit_id, moment, moment, unit.unit_id, unit.kind, unit.city, unit.county,
            rated.grade, rated.channel, rated.verification, prints, number,
            ',"by_token":true' if rated.by_token else "",
        )
    ).encode()  # fmt: skip


def _bands(unit: Unit, text: str, hashes: dict[str, str]) -> str:
    key = f"bands {unit.unit_id} {text}"
    if key not in hashes:
        signature = _sketch.signature(text, 12)
        values = [] if signature is None else band_values(unit.unit_id, signature)
        digits = "".join(hmac_of(value.decode())[-12:] for value in values)
        hashes[key] = f'"similarity":"k1.{digits}",' if digits else ""
    return hashes[key]


def honest_month(units: Sequence[Unit], seed: int, *, days: int = HISTORY_DAYS + 1) -> Iterator[Rated]:
    """Ratings of every unit over `days` days that end with `TODAY`; median 38 a unit in 30 days.

    Two thirds of them are of a verified transaction: half of these on the window's one terminal, which claims
    them, the others by one-time tokens. The rest come from people's own phones: in the hall over its one
    address, from elsewhere over addresses that many share.
    """
    chance = Random(seed)
    traits = [(unit, 38 / 30 * chance.lognormvariate(0, 0.9), chance.betavariate(22, 2.5)) for unit in units]
    for day in range(days - 1, -1, -1):
        start = TODAY - timedelta(days=day)
        today = [
            _honest(unit, start + timedelta(seconds=_second(chance)), good, chance)
            for unit, volume, good in traits
            for _ in range(_poisson(volume, chance))
        ]
        yield from sorted(today, key=lambda rated: rated.at)


def _honest(unit: Unit, at: datetime, good: float, chance: Random) -> Rated:
    grade = chance.choices((5, 4, 3), (6, 3, 1))[0] if chance.random() < good else chance.choice((1, 2))
    verified = chance.random() < 0.66
    text = None
    if chance.random() < 0.2:
        text = (
            "，".join(chance.sample(WORDS, chance.choice((1, 2, 3, 3)))) if chance.random() < 0.8 else "很好"
        )
    kind = chance.random()
    hall = f"hall {unit.unit_id}"
    if kind < 0.5:
        verification = "transaction" if verified else "onsite"
        return Rated(at, unit, grade, "terminal", verification, f"terminal {unit.unit_id}", hall, text)
    phone = f"phone {chance.getrandbits(40)}"
    if kind < 0.75:
        verification = "transaction" if verified else "onsite"
        return Rated(at, unit, grade, "qr", verification, phone, hall, text)
    carrier = f"carrier {unit.county} {chance.randrange(40)}"
    verification = "transaction" if verified else chance.choice(("anonymous", "real_name"))
    return Rated(at, unit, grade, chance.choice(("web", "app")), verification, phone, carrier, text)


def _second(chance: Random) -> int:
    """A second of an office's day: two rush hours, and a few ratings in the evening."""
    if chance.random() < 0.1:
        return chance.randrange(18 * 3600, 22 * 3600)
    noon = chance.choice((10, 15)) * 3600
    return int(min(max(noon + chance.gauss(0, 4500), 8 * 3600), 18 * 3600))


def _poisson(mean: float, chance: Random) -> int:
    left, found = chance.expovariate(1), 0
    while left < mean:
        left += chance.expovariate(1)
        found += 1
    return found


@dataclass(frozen=True, slots=True)
class Attack:
    """Somebody stuffs one unit.

    Attributes:
        ratings: how many.
        devices: from how many devices, in turn; 0: another one each time.
        addresses: the same for network addresses.
        texts: "none", "copied", "varied" or "mixed".
        start_h: hour of `TODAY` at which it begins.
        over_s: evenly over so many seconds.
        ways: channel and verification, in turn.
    """

    name: str
    ratings: int
    devices: int
    addresses: int
    texts: str = "none"
    start_h: float = 10.0
    over_s: float = 3600.0
    grade: int = 5
    ways: tuple[tuple[str, str], ...] = UNVERIFIED

    def __str__(self) -> str:
        """For a test's name."""
        return self.name

    def on(self, unit: Unit, seed: int = 7) -> Iterator[Rated]:
        """Its ratings of `unit`."""
        chance = Random(seed)
        start = TODAY + timedelta(hours=self.start_h)
        step = self.over_s / self.ratings
        template = "，".join(WORDS[:4])
        numbers = count()
        for number in range(self.ratings):
            channel, verification = self.ways[number % len(self.ways)]
            device = number % self.devices if self.devices else next(numbers)
            address = number % self.addresses if self.addresses else 100_000 + number
            yield Rated(
                start + timedelta(seconds=step * number), unit, self.grade, channel, verification,
                f"bot {device}", f"net {address}",
                self._text(number, template, chance), hostile=True,
            )  # fmt: skip

    def _text(self, number: int, template: str, chance: Random) -> str | None:
        texts = self.texts if self.texts != "mixed" else ("none", "copied", "varied")[number % 3]
        if texts == "none":
            return None
        if texts == "copied":
            return template
        place = chance.randrange(len(template))
        return template[:place] + chance.choice(("\u200b", "！", "真", "好的", "ｏ")) + template[place:]


def merged(honest: Iterable[Rated], *attacks: Iterable[Rated]) -> list[Rated]:
    """All ratings in the order of time."""
    found = list(honest)
    for attack in attacks:
        found += attack
    found.sort(key=lambda rated: rated.at)
    return found
