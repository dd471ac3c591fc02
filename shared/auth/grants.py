"""Which role may do what, how far: the one table. ``docs/access.md`` shows it, a test keeps the two equal.

A grant has a reach. Reading reaches the own subtree. Judging reaches exactly one level down (下管一级), so
nobody judges what is about themselves. Duties that repair data reach the subtree: undoing an import that went
wrong is no judgement. What is out of the subtree is answered as if it did not exist.
"""

from collections.abc import Mapping
from enum import Enum, StrEnum
from typing import Final

from shared.auth.principals import Duty, Place, Principal, Role, Tier


class Permission(StrEnum):
    """One thing that can be done. Every route names one, or says that it is public."""

    FEEDBACK_SUBMIT = "feedback.submit"
    FEEDBACK_READ = "feedback.read"
    FEEDBACK_REVISE = "feedback.revise"
    FEEDBACK_EXCLUDE = "feedback.exclude"
    FEEDBACK_REVIEW = "feedback.review"
    FEEDBACK_APPEAL = "feedback.appeal"
    APPROVALS_DECIDE = "approvals.decide"
    TOKENS_ISSUE = "tokens.issue"
    ALERTS_READ = "alerts.read"
    ALERTS_ACK = "alerts.ack"
    CHANNELS_READ = "channels.read"
    CHANNELS_CHANGE = "channels.change"
    CASES_READ = "cases.read"
    CASES_MOVE = "cases.move"
    CASES_JUDGE = "cases.judge"
    SANCTIONS_READ = "sanctions.read"
    SANCTIONS_SIGN = "sanctions.sign"
    SANCTIONS_APPEAL = "sanctions.appeal"
    NOMINATIONS_CONFIRM = "nominations.confirm"
    CHECKS_SIGN = "checks.sign"
    INSPECTIONS_WRITE = "inspections.write"
    CAMPAIGNS_WRITE = "campaigns.write"
    PANELS_WRITE = "panels.write"
    SUPERVISION_READ = "supervision.read"
    BULLETINS_DRAFT = "bulletins.draft"
    BULLETINS_PUBLISH = "bulletins.publish"
    INTEGRITY_READ = "integrity.read"
    IDENTITY_UNMASK = "identity.unmask"
    IDENTITY_ERASE = "identity.erase"
    VAULT_READ = "vault.read"
    RECORDS_READ = "records.read"
    RECORDS_EXPORT = "records.export"
    RECORDS_REPLAY = "records.replay"
    LOG_VERIFY = "log.verify"
    LOG_EXPORT = "log.export"
    RULES_CHANGE = "rules.change"
    REGISTRY_CHANGE = "registry.change"


WHAT: Final[Mapping[Permission, str]] = {
    Permission.FEEDBACK_SUBMIT: "submit ratings of its own channels",
    Permission.FEEDBACK_READ: "see what became of a rating",
    Permission.FEEDBACK_REVISE: "correct what was taken down wrongly",
    Permission.FEEDBACK_EXCLUDE: "exclude a rating, reinstate it",
    Permission.FEEDBACK_REVIEW: "hold a suspicious rating, look through what is held, release it",
    Permission.FEEDBACK_APPEAL: "appeal against an exclusion",
    Permission.APPROVALS_DECIDE: "look through what others asked for, approve or reject it",
    Permission.TOKENS_ISSUE: "issue one-time tokens",
    Permission.ALERTS_READ: "see alerts",
    Permission.ALERTS_ACK: "take an alert over",
    Permission.CHANNELS_READ: "see where alerts go",
    Permission.CHANNELS_CHANGE: "use an endpoint again that was disabled",
    Permission.CASES_READ: "see cases",
    Permission.CASES_MOVE: "move a case on",
    Permission.CASES_JUDGE: (
        "open a case by hand; extend, reclassify, review, check, question, annul it; confirm for the silent"
    ),
    Permission.SANCTIONS_READ: "see strikes, sanctions, nominations and quarterly checks",
    Permission.SANCTIONS_SIGN: "sign or reject a sanction, decide an appeal",
    Permission.SANCTIONS_APPEAL: "appeal against a sanction",
    Permission.NOMINATIONS_CONFIRM: "confirm a nomination",
    Permission.CHECKS_SIGN: "sign the quarterly check of the own division",
    Permission.INSPECTIONS_WRITE: "record an inspection, an incident",
    Permission.CAMPAIGNS_WRITE: "plan a campaign, record its visits",
    Permission.PANELS_WRITE: "enrol assessors",
    Permission.SUPERVISION_READ: "see campaigns, findings, panels, and who answers for a unit",
    Permission.BULLETINS_DRAFT: "see what a bulletin says of cases",
    Permission.BULLETINS_PUBLISH: "publish a bulletin",
    Permission.INTEGRITY_READ: "see which ratings look made up",
    Permission.IDENTITY_UNMASK: "ask for a citizen's identity, or approve it",
    Permission.IDENTITY_ERASE: "erase a citizen's identity and words",
    Permission.VAULT_READ: "see how the vault's keys stand",
    Permission.RECORDS_READ: "read archived events and traces",
    Permission.RECORDS_EXPORT: "export archived events",
    Permission.RECORDS_REPLAY: "read a whole stream as it was",
    Permission.LOG_VERIFY: "have the whole log verified",
    Permission.LOG_EXPORT: "take the whole log away",
    Permission.RULES_CHANGE: "change the rule pack",
    Permission.REGISTRY_CHANGE: "change units and divisions",
}
"""Each permission in words."""


class Reach(Enum):
    """How far a grant goes, from the scope of who has it."""

    OWN = "own"
    ONE_DOWN = "one level down"
    HANDS_ON = "own and one level down"
    SUBTREE = "own subtree"


_P = Permission
_SEE: Final = dict.fromkeys(
    (_P.FEEDBACK_READ, _P.ALERTS_READ, _P.CASES_READ, _P.SUPERVISION_READ, _P.SANCTIONS_READ), Reach.SUBTREE
)
_HANDLE: Final = _SEE | {
    _P.ALERTS_ACK: Reach.HANDS_ON,
    _P.CASES_MOVE: Reach.HANDS_ON,
    _P.TOKENS_ISSUE: Reach.HANDS_ON,
    _P.FEEDBACK_APPEAL: Reach.HANDS_ON,
    _P.FEEDBACK_REVISE: Reach.ONE_DOWN,
    _P.INSPECTIONS_WRITE: Reach.ONE_DOWN,
    _P.CASES_JUDGE: Reach.ONE_DOWN,
    _P.CAMPAIGNS_WRITE: Reach.SUBTREE,
    _P.SANCTIONS_APPEAL: Reach.OWN,  # whoever is above signs, whom it is about appeals
}
_SUPERVISE: Final = _HANDLE | {
    _P.FEEDBACK_EXCLUDE: Reach.ONE_DOWN,
    _P.FEEDBACK_REVIEW: Reach.ONE_DOWN,
    _P.APPROVALS_DECIDE: Reach.SUBTREE,  # escalation goes up; never of the own unit or bureau
    _P.PANELS_WRITE: Reach.SUBTREE,
    _P.BULLETINS_PUBLISH: Reach.HANDS_ON,
    _P.SANCTIONS_SIGN: Reach.ONE_DOWN,
    _P.NOMINATIONS_CONFIRM: Reach.ONE_DOWN,
    _P.CHECKS_SIGN: Reach.OWN,
    _P.IDENTITY_UNMASK: Reach.SUBTREE,  # of what is below, never of the own unit or bureau
    _P.INTEGRITY_READ: Reach.SUBTREE,
    _P.RECORDS_READ: Reach.SUBTREE,
}
_AUDIT: Final = _SEE | dict.fromkeys(
    (
        _P.INTEGRITY_READ,
        _P.RECORDS_READ,
        _P.RECORDS_EXPORT,
        _P.LOG_VERIFY,
        _P.LOG_EXPORT,
        _P.CHANNELS_READ,
    ),
    Reach.SUBTREE,
)
_ADMINISTER: Final = _AUDIT | dict.fromkeys(
    (
        _P.FEEDBACK_REVISE,
        _P.FEEDBACK_EXCLUDE,
        _P.FEEDBACK_REVIEW,
        _P.FEEDBACK_APPEAL,
        _P.APPROVALS_DECIDE,
        _P.PANELS_WRITE,
        _P.INSPECTIONS_WRITE,
        _P.TOKENS_ISSUE,
        _P.ALERTS_ACK,
        _P.CHANNELS_CHANGE,
        _P.CAMPAIGNS_WRITE,
        _P.IDENTITY_ERASE,
        _P.VAULT_READ,
        _P.RECORDS_REPLAY,
        _P.RULES_CHANGE,
        _P.REGISTRY_CHANGE,
    ),
    Reach.SUBTREE,
)

_DRAFT: Final = {_P.BULLETINS_DRAFT: Reach.SUBTREE}

GRANTS: Final[Mapping[Duty, Mapping[Permission, Reach]]] = {
    Duty.VIEWER: _SEE | _DRAFT,
    Duty.HANDLER: _HANDLE | _DRAFT,
    Duty.SUPERVISOR: _SUPERVISE | _DRAFT,
    Duty.AUDITOR: _AUDIT | _DRAFT,
    Duty.ADMIN: _ADMINISTER | _DRAFT,
    Duty.CHANNEL: {_P.FEEDBACK_SUBMIT: Reach.SUBTREE, _P.TOKENS_ISSUE: Reach.SUBTREE},
    Duty.SERVICE: {_P.RECORDS_REPLAY: Reach.SUBTREE},
}
"""What each duty may do, at the tiers of `TIERS`."""

_PROVINCE: Final = frozenset({Tier.PROVINCE})
_ABOVE_UNITS: Final = frozenset({Tier.PROVINCE, Tier.CITY, Tier.COUNTY})
TIERS: Final[Mapping[Permission, frozenset[Tier]]] = {
    # Of the log and of a stream there are no parts, and one rule pack is everybody's.
    _P.CHANNELS_READ: _PROVINCE,
    _P.CHANNELS_CHANGE: _PROVINCE,
    _P.LOG_VERIFY: _PROVINCE,
    _P.VAULT_READ: _PROVINCE,
    _P.LOG_EXPORT: _PROVINCE,
    _P.RECORDS_REPLAY: _PROVINCE,
    _P.RULES_CHANGE: _PROVINCE,
    _P.REGISTRY_CHANGE: _PROVINCE,
    # Who is rated neither decides what counts nor learns who rated: records hold times and pseudonyms.
    _P.FEEDBACK_REVISE: _ABOVE_UNITS,
    _P.FEEDBACK_EXCLUDE: _ABOVE_UNITS,
    _P.FEEDBACK_REVIEW: _ABOVE_UNITS,
    _P.APPROVALS_DECIDE: _ABOVE_UNITS,
    _P.PANELS_WRITE: _ABOVE_UNITS,
    _P.SANCTIONS_SIGN: _ABOVE_UNITS,
    _P.NOMINATIONS_CONFIRM: _ABOVE_UNITS,
    _P.CHECKS_SIGN: _ABOVE_UNITS,
    _P.INSPECTIONS_WRITE: _ABOVE_UNITS,
    _P.CASES_JUDGE: _ABOVE_UNITS,
    _P.CAMPAIGNS_WRITE: _ABOVE_UNITS,
    _P.BULLETINS_DRAFT: _ABOVE_UNITS,  # a bulletin is of a division
    _P.BULLETINS_PUBLISH: _ABOVE_UNITS,
    _P.IDENTITY_UNMASK: _ABOVE_UNITS,
    _P.IDENTITY_ERASE: _ABOVE_UNITS,
    _P.INTEGRITY_READ: _ABOVE_UNITS,
    _P.RECORDS_READ: _ABOVE_UNITS,
    _P.RECORDS_EXPORT: _ABOVE_UNITS,
}
"""Tiers at which a permission can be had at all; all tiers where none are named. Systems have no tier."""


class Verdict(Enum):
    """Whether somebody may do something somewhere."""

    GRANTED = "granted"
    REFUSED = "refused"
    """They see the place, and may know why: 403."""
    HIDDEN = "hidden"
    """Not theirs to know of: 404, as if it did not exist."""


def reach_of(role: Role, permission: Permission) -> Reach | None:
    """How far `permission` goes with `role`; None: it does not have it."""
    if role.tier is not None and role.tier not in TIERS.get(permission, frozenset(Tier)):
        return None
    return GRANTS[role.duty].get(permission)


def holds(principal: Principal, permission: Permission) -> bool:
    """Whether `principal` may do it anywhere."""
    return any(reach_of(role, permission) is not None for role in principal.roles)


def judge(principal: Principal, permission: Permission, place: Place) -> Verdict:
    """Whether `principal` may do it to what is at `place`."""
    scope = principal.scope
    if not scope.sees(place):
        return Verdict.HIDDEN
    reaches = {reach_of(role, permission) for role in principal.roles}
    within = (
        Reach.SUBTREE in reaches
        or (Reach.OWN in reaches and scope.is_own(place))
        or (Reach.HANDS_ON in reaches and (scope.is_own(place) or scope.manages(place)))
        or (Reach.ONE_DOWN in reaches and scope.manages(place))
    )
    return Verdict.GRANTED if within else Verdict.REFUSED
