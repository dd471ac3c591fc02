"""What people tell the platform of themselves, route by route: each is taken, and tells it wherever it can.

`STORIES` tell what is sent, and have to be taken; `NOTHING_PERSONAL` says of each other route that writes why
there is nothing to tell it. The sweep asks all of them all the same.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import httpx

from services.rectify.domain.opening import case_id_of
from shared.kernel.clock import business_day
from shared.kernel.grades import Channel
from tests.support.canaries import NAMES, NUMBERS, Person, Sender, people
from tests.support.platform import until

UNIT, COUNTY, CITY = "U000112", "360102", "360100"
SOURCE_OF: Final = {"assessor": "social", "undercover": "spot_check"}
CLERK: Final[dict[str, Any]] = {"decided_by": "county-clerk", "level": "county"}
REVIEWER: Final[dict[str, Any]] = {"decided_by": "city-reviewer", "level": "city"}
WITHIN_S: Final = 90.0
DIVISIONS: Final = "code,name,level,parent,valid_from,valid_to\n"
PACK: Final = Path(__file__).parents[2] / "shared" / "rules" / "packs" / "2026-01.toml"

NOTHING_PERSONAL: Final = {
    "notify POST /v1/channels/{address}/enable": "names who asks; an endpoint has to be disabled first",
    "archive POST /v1/log/cosignatures": "takes a witness's signature of a checkpoint and nothing else",
    "rectify POST /v1/sanctions/{sanction_id}/signature": "takes no words; who signs says the token",
    "rectify POST /v1/sanctions/{sanction_id}/rejection": "takes a reason of a closed list",
    "rectify POST /v1/sanctions/{sanction_id}/appeal": "takes a reason of a closed list",
    "rectify POST /v1/sanctions/{sanction_id}/decision": "takes yes or no",
    "rectify POST /v1/nominations/{nomination_id}/confirmation": "takes no words",
    "rectify POST /v1/checks/{quarter}": "takes no words; the quarter has to be over",
}


@dataclass
class Stage:
    """Who tells it to whom.

    Attributes:
        send: sends and keeps what is answered.
        persons: citizens, one after the other.
        ids: what is known by now, by the names of path parameters.
    """

    send: Sender
    persons: Iterator[Person] = field(default_factory=people)
    ids: dict[str, str] = field(default_factory=dict)

    def staff(self, role: str, region: str = "360000", subject: str = "somebody") -> dict[str, str]:
        """Headers of somebody of the administration."""
        return {"Authorization": f"Bearer {self.send.platform.proofs.token(subject, role, region)}"}

    def rating(self, channel: str, ref: str, person: Person | None = None) -> dict[str, Any]:
        """A bad review with everything that a citizen can say of themselves."""
        who = person or next(self.persons)
        return {
            "unit_id": UNIT,
            "grade": 1,
            "channel": channel,
            "source": SOURCE_OF.get(channel, "public"),
            "client_ref": f"{ref}-{who.phone}",
            "transaction_id": f"{who.identity}-{ref}",
            "device_id": f"{who.name}的手机 {who.phone}",
            "text": who.words,
            "contact": {
                "name": who.name, "phone": who.phone, "id_number": who.identity, "account": who.plate,
            },
        }  # fmt: skip

    def rated(self, ref: str, channel: str = "web", **more: object) -> dict[str, Any]:
        """The receipt of a rating."""
        receipt: dict[str, Any] = self.ask("intake", "/v1/feedback", self.rating(channel, ref) | more)
        return receipt

    def ask(
        self,
        service: str,
        path: str,
        body: Any = None,  # noqa: ANN401 - JSON
        **headers: str,
    ) -> Any:  # noqa: ANN401 - JSON
        """Post something that is taken; the answer."""
        answer = self.send("POST", service, path, headers, json=body)
        assert answer.is_success, f"{service} {path}: {answer.status_code} {answer.text}"
        return answer.json()

    def look(self, service: str, path: str) -> httpx.Response:
        """Read as the province's admin, without keeping the answer: it is for whom it shows."""
        platform = self.send.platform
        return httpx.get(platform.url(service, path), auth=platform.proofs, trust_env=False, timeout=30)


def every_channel(stage: Stage) -> None:
    """Ratings by each channel, one by one and in batches."""
    for channel in (each for each in Channel if each not in {Channel.IMPORT, Channel.ASSESSOR}):
        receipt = stage.rated("one", channel.value)
    stage.ids |= {"event_id": receipt["event_id"], "code": receipt["receipt_code"]}
    lines = [stage.rating("paper", f"line-{number}") for number in range(50)]
    batch = "\n".join(json.dumps(line, ensure_ascii=number % 2 == 0) for number, line in enumerate(lines))
    kind = {"Content-Type": "application/x-ndjson"}
    answer = stage.send("POST", "intake", "/v1/feedback/batch", kind, content=batch.encode())
    assert answer.json()["accepted"] == 50


def tokens(stage: Stage) -> None:
    """A token for somebody's transaction, and its redemption."""
    who = next(stage.persons)
    issued = stage.ask("intake", "/v1/tokens", {"unit_id": UNIT, "transaction_id": who.identity})
    stage.ids["token"] = issued["token"]
    for form in ("", "/qr.svg", "/qr.png"):
        stage.send("GET", "intake", f"/v1/tokens/{issued['token']}{form}")
    rating = stage.rating("qr", "token", who)
    stage.rated("token", **rating | {"token": issued["token"], "transaction_id": None})
    many = {"unit_id": UNIT, "count": 2, "transaction_id": None}
    for kind in ("text/csv", "application/x-ndjson"):
        stage.send("POST", "intake", "/v1/tokens", {"Accept": kind}, json=many)


def the_provinces_interface(stage: Stage) -> None:
    """好差评, one by one and many."""

    def record(number: int) -> dict[str, str]:
        who = next(stage.persons)
        return {
            "projNo": f"{who.identity}-{number}", "satisfaction": "1", "evaluateChannel": "4",
            "transactionTime": "2026-11-01 09:30:00", "serviceDepartmentCode": UNIT,
            "applicantName": who.name, "applicantPhone": who.phone, "applicantCardNumber": who.identity,
            "writingEvaluation": who.words, "projName": f"{who.name}的结婚登记", "applyTime": who.phone,
        }  # fmt: skip

    path = "/v1/adapters/good-bad-review"
    assert stage.ask("intake", path, record(0))["code"] == 0
    many = {"records": [record(number) for number in range(1, 13)]}
    answer = stage.ask("intake", f"{path}/batch", many)
    assert {each["code"] for each in answer["results"]} == {0}
    stage.ask("intake", path, record(99) | {"satisfaction": NAMES[0], "evaluateChannel": NUMBERS[0]})
    stage.send("GET", "intake", f"{path}?limit=1000")


def revisions(stage: Stage) -> None:
    """What becomes of ratings that tell who gave them."""
    one = stage.rated("revised")
    path = f"/v1/feedback/{one['event_id']}"
    wish = {"reason": "mistyped", "grade": 2, **CLERK}
    asked = stage.ask("intake", f"{path}/corrections", wish)
    stage.ask("intake", f"/v1/approvals/{asked['approval_id']}/approve", REVIEWER)
    until(
        lambda: (
            stage.look("intake", f"/v1/approvals/{asked['approval_id']}").json()["stage"] == "carried_out"
        ),
        timeout_s=WITHIN_S,
        what="the correction is carried out",
    )
    stage.ask("intake", f"{path}/quarantine", {"reason": "burst"})
    stage.ask("intake", f"{path}/release", {"reason": "found_genuine"})
    stage.ask("intake", f"/v1/receipts/{one['receipt_code']}/withdrawal", {})
    held = stage.rated("held")
    stage.ask("intake", f"/v1/feedback/{held['event_id']}/quarantine", {"reason": "burst"})
    decisions = {"move": "release", "reason": "found_genuine", "event_ids": [held["event_id"]]}
    stage.ask("intake", "/v1/quarantine/decisions", decisions)


def approvals(stage: Stage) -> None:
    """Exclusions, appeals, rules: asked for by one, decided by another."""
    out = [stage.rated(f"excluded-{number}") for number in range(4)]
    ids = [each["event_id"] for each in out]
    wish = {"reason": "no_service", **CLERK}
    one = stage.ask("intake", f"/v1/feedback/{ids[0]}/exclusion", wish)
    many = stage.ask("intake", "/v1/approvals/exclusions", wish | {"targets": ids[1:], "import_id": "imp-1"})
    stage.ids["approval_id"] = many["approval_id"]
    for asked in (one, many):
        stage.ask("intake", f"/v1/approvals/{asked['approval_id']}/approve", REVIEWER)
        until(
            lambda asked=asked: (  # type: ignore[misc]  # the default binds the loop's variable
                stage.look("intake", f"/v1/approvals/{asked['approval_id']}").json()["stage"] == "carried_out"
            ),
            timeout_s=WITHIN_S,
            what="the exclusion is carried out",
        )
    by_citizen = stage.ask("intake", f"/v1/receipts/{out[0]['receipt_code']}/appeal", {})
    province = {"decided_by": "province-reviewer", "level": "province"}
    stage.ask(
        "intake", f"/v1/approvals/{by_citizen['approval_id']}/reject",
        province | {"reason": "unfounded"},
    )  # fmt: skip
    stage.ask("intake", f"/v1/feedback/{ids[1]}/appeal", CLERK)
    stage.ask("intake", f"/v1/feedback/{ids[2]}/reinstatement", {"reason": "appeal_upheld"})
    pack = PACK.read_text(encoding="utf-8")
    stage.ask("intake", "/v1/approvals/rules", {"pack": pack, **CLERK})
    for number in NUMBERS[::8]:
        refused = {"targets": ids[3:], "import_id": number, **wish}
        stage.send("POST", "intake", "/v1/approvals/exclusions", json=refused)
        named = f"# {number}\n{pack}"
        stage.send("POST", "intake", "/v1/approvals/rules", json={"pack": named, **CLERK})


def what_became_of_ratings(stage: Stage) -> None:
    """好差评 once more, after `revisions` and `approvals`: all that it hands on."""
    path, after, following = "/v1/adapters/good-bad-review", -1, 0
    states: set[str] = set()
    while following != after:
        after = following
        answer = stage.send("GET", "intake", f"{path}?after={after}&limit=1000").json()
        following = answer["next"]
        states |= {each["evaluationState"] for each in answer["records"]}
    assert states == {"submitted", "corrected", "held", "released", "excluded", "reinstated", "withdrawn"}


def supervision(stage: Stage) -> None:
    """Campaigns, visits to people, spot checks, incidents, panels of people and their ballots."""
    today = business_day(datetime.now(UTC))
    days = {
        name: (today + timedelta(days=shift)).isoformat()
        for name, shift in {"mobilise_from": -9, "run_from": -5, "consolidate_from": 5, "ends": 9}.items()
    }
    campaign = {
        "campaign_id": "canaries", "title": "百千万走访", "teams": 1, "cadres": 1, **days, **CLERK,
        "targets": [{"county": COUNTY, "households": 9}],
    }  # fmt: skip
    stage.ask("intake", "/v1/campaigns", campaign)
    stage.ids["campaign_id"] = "canaries"
    visits = [
        {
            "county": COUNTY,
            "team": "7",
            "whom": f"{who.name} {who.phone} {who.plate}",
            "visited_at": _ago(hours=1),
        }
        for who, _ in zip(stage.persons, range(10), strict=False)
    ]
    stage.ask("intake", "/v1/campaigns/canaries/visits", {"visits": visits, **CLERK})
    common = {"unit_id": UNIT, "occurred_at": _ago(hours=2), **CLERK}
    stage.ask("intake", "/v1/inspections", {**common, "finding": "minor"})
    incident = {**common, "kind": "crime", "severity": "major", "evidence": ["file:2026/17"]}
    recorded = stage.ask("intake", "/v1/incidents", incident)
    stage.ids["finding_id"] = recorded["finding_id"]
    path = f"/v1/findings/{recorded['finding_id']}/verification"
    stage.ask("intake", path, REVIEWER | {"verification": "refuted"})
    refused = stage.send("POST", "intake", "/v1/feedback", json=stage.rating("assessor", "one"))
    assert refused.status_code == 422, "nobody is enrolled"
    assessors = [next(stage.persons) for _ in range(10)]
    seats = {
        "numbers": [f"{each.name}{each.identity}" for each in assessors], "panel": "county",
        "division": COUNTY, "year": today.year, "group": "deputy", **REVIEWER,
    }  # fmt: skip
    stage.ask("intake", "/v1/assessors", seats)
    for who in assessors:
        ballot = stage.rating("assessor", "ballot", who)
        ballot["contact"]["account"] = f"{who.name}{who.identity}"
        stage.ask("intake", "/v1/feedback", ballot)


def the_registry(stage: Stage) -> None:
    """Responsible people are references; a number of theirs is none."""
    header = "unit_id,role,person,valid_from\n"
    good = {"responsibilities": f"{header}{UNIT},head,person-0042,2026-01-01\n"}
    stage.ask("intake", "/v1/registry/differences", good)
    stage.ask("intake", "/v1/registry/loads", {**good, "decided_by": "province-admin"})
    table = stage.look("intake", "/v1/registry/units.csv").text
    name = next(line.split(",")[1] for line in table.splitlines() if line.startswith(UNIT))
    for number in NUMBERS[::5]:
        tables = (
            {"responsibilities": f"{header}{UNIT},officer,{number},2026-01-01\n"},
            {"units": table.replace(name, f"{name}{number}")},
            {"divisions": f"{DIVISIONS}360199,{number},county,360100,2026-01-01,\n"},
        )
        for body in tables:
            stage.send("POST", "intake", "/v1/registry/differences", json=body)
            stage.send("POST", "intake", "/v1/registry/loads", json={**body, "decided_by": "province-admin"})


def unmasking(stage: Stage) -> None:
    """Two people read what somebody said; what they are shown is theirs, and is not kept here."""
    one = stage.rated("unmasked")
    officer = stage.staff("county.supervisor", COUNTY, "officer")
    second = stage.staff("city.supervisor", CITY, "second")
    wish = {"reason": "call_back", "parts": ["text", "contact"]}
    path = f"/v1/feedback/{one['event_id']}/unmaskings"
    asked = [stage.ask("intake", path, wish, **officer)["request_id"] for _ in range(2)]
    stage.ids["request_id"] = asked[0]
    stage.ask("intake", f"/v1/unmaskings/{asked[0]}/approval", **second)
    stage.ask("intake", f"/v1/unmaskings/{asked[1]}/refusal", **second)
    path = f"/v1/unmaskings/{asked[0]}/disclosure"
    url = stage.send.platform.url("intake", path)
    shown = httpx.post(url, headers=officer, trust_env=False, timeout=30)
    assert any(name in shown.text for name in NAMES), "this is what is not to be found elsewhere"
    stage.send.knows("intake", "POST", path, shown.status_code)


def erasure(stage: Stage) -> None:
    """By the citizen, by staff, by the record's name."""
    by_citizen, by_staff = stage.rated("erased"), stage.rated("erased too")
    assert stage.ask("intake", f"/v1/receipts/{by_citizen['receipt_code']}/erasure", {})["erased"]
    told = stage.ask("intake", f"/v1/feedback/{by_staff['event_id']}/erasure", {})
    stage.ids["record"] = told["record"]
    again = stage.ask("intake", f"/v1/vault/{told['record']}/erasure", {})
    assert again["again"]


def cases(stage: Stage) -> None:
    """A case with people in every text of it: scrubbed and sealed, they are for whoever handles it."""
    one = stage.rated("case")
    case_id = case_id_of(one["event_id"], UNIT)
    stage.ids |= {"case_id": case_id, "case_code": one["receipt_code"]}
    _until_case(stage, case_id)
    handler = stage.staff("county.handler", COUNTY, "county-handler")
    another = stage.staff("county.handler", COUNTY, "another-handler")
    path = f"/v1/cases/{case_id}/moves"

    def moves(*steps: dict[str, Any]) -> None:
        for step in steps:
            asked = another if step["move"] == "refuse_transfer" else handler
            stage.ask("rectify", path, step, **asked)

    def words() -> str:
        return next(stage.persons).words

    party = {"unit_id": UNIT, "handler": "窗口负责人"}
    plan = {
        "goal": words(), "measures": words(), "deadline": _ago(days=-2), "responsible_unit": UNIT,
        "responsible_leader": "分管副局长", "responsible_person": "窗口负责人",
    }  # fmt: skip
    moves(
        {"move": "contact"}, {"move": "classify", "case_class": "A", "reason": words()},
        {"move": "assign", "to": party},
        {"move": "propose_transfer", "to": {**party, "handler": "另一窗口"}, "reason": words()},
        {"move": "refuse_transfer", "reason": words()}, {"move": "plan", **plan},
        {"move": "report", "text": words()}, {"move": "pause", "reason": words()}, {"move": "resume"},
        {"move": "inquire", "question": words()}, {"move": "respond", "text": words()},
        {"move": "extend", "working_days": 2, "reason": words()},
        {"move": "answer", "outcome": "resolved", "text": words()},
    )  # fmt: skip
    mine = f"/v1/receipts/{one['receipt_code']}/case"
    refused = {"reason": words()}
    answer = httpx.post(stage.send.platform.url("rectify", f"{mine}/refuse"), json=refused, trust_env=False)
    stage.send.knows("rectify", "POST", f"{mine}/refuse", answer.status_code)
    moves({"move": "report", "text": words()}, {"move": "answer", "outcome": "resolved", "text": words()})
    answer = httpx.post(stage.send.platform.url("rectify", f"{mine}/confirm"), trust_env=False)
    stage.send.knows("rectify", "POST", f"{mine}/confirm", answer.status_code)
    shown = stage.look("rectify", f"/v1/cases/{case_id}").text
    assert any(name in shown for name in NAMES), "this is what is not to be found elsewhere"
    assert not any(number in shown for number in NUMBERS), "numbers were taken out"
    by_hand = {"unit_id": UNIT, "reason": words()}
    opened = stage.ask(
        "rectify", "/v1/cases", by_hand, **handler, **{"Idempotency-Key": next(stage.persons).phone}
    )
    eraser = stage.staff("county.admin", COUNTY)
    stage.send("DELETE", "rectify", f"/v1/cases/{opened['case_id']}/texts", eraser)


def alerts(stage: Stage) -> None:
    """An alert of a bad review, put off and taken over with numbers in the notes."""
    found = until(
        lambda: [
            each["alert_id"]
            for each in stage.look("notify", f"/v1/alerts?unit_id={UNIT}&limit=200").json()["items"]
            if each["rule"] == "bad_review"
        ][:2],
        timeout_s=WITHIN_S,
        what="there are alerts",
    )
    stage.ids["alert_id"] = found[0]
    note = "、".join(NUMBERS)[:500]
    stage.ask("notify", f"/v1/alerts/{found[0]}/snooze", {"until": _ago(hours=-2), "note": note})
    stage.ask("notify", f"/v1/alerts/{found[0]}/ack", {"note": note})


def bulletins(stage: Stage) -> None:
    """A published bulletin; its official words are public, and hold no number of anybody."""
    bulletin = {
        "region": COUNTY, "period": "2026-10", "title": "东湖区民主评议情况", "pdf_sha256": "a" * 64,
        "html_sha256": "b" * 64, "figures_sha256": "c" * 64, "rules": f"sha256:{'1f' * 32}",
        "positions": {"FEEDBACK": 7},
    }  # fmt: skip
    county = stage.staff("county.supervisor", COUNTY)
    stage.ask("rectify", "/v1/bulletins", bulletin, **county)
    for number in NUMBERS[::5]:
        for name in ("title", "issue", "issuer"):
            stage.send("POST", "rectify", "/v1/bulletins", county, json={**bulletin, name: f"负责人{number}"})


STORIES: Final[tuple[Callable[[Stage], None], ...]] = (
    every_channel, tokens, the_provinces_interface, revisions, approvals, what_became_of_ratings,
    supervision, the_registry, unmasking, erasure, cases, alerts, bulletins,
)  # fmt: skip


def _until_case(stage: Stage, case_id: str) -> None:
    until(
        lambda: stage.look("rectify", f"/v1/cases/{case_id}").is_success,
        timeout_s=WITHIN_S,
        what="the case is open",
    )


def _ago(**delta: float) -> str:
    return (datetime.now(UTC) - timedelta(**delta)).isoformat(timespec="seconds")
