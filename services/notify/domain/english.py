"""Titles and bodies in English, for each rule one of each; rules themselves speak Chinese."""

from collections.abc import Mapping
from typing import Final

from services.notify.domain.alert import SEVERITY_LABELS, Alert
from services.notify.domain.channels import Language
from services.notify.domain.digests import ITEM, listed_by, rest_line
from shared.rules import Severity

SEVERITIES_EN: Final = {Severity.INFO: "notice", Severity.WARNING: "warning", Severity.CRITICAL: "urgent"}

TITLES_EN: Final[Mapping[str, tuple[str, str]]] = {
    "bad_review": (
        "Bad review: {unit}",
        "A review of grade {grade} came in. Please look into it soon, put it right and answer.",
    ),
    "rank_drop": (
        "Lost {lost} places: {unit}",
        "From place {start_rank} to place {rank} in the list over {window_days} days. Please act.",
    ),
    "band_change": ("Another band: {unit}", "From {previous_band} to {band}."),
    "surge": (
        "Surge of bad reviews: {place}, {about}",
        (
            "{count} bad reviews within {hours} hours, where {usual} are usual (chance: {probability}). "
            "Please find out at once what is behind it."
        ),
    ),
    "too_good": (
        "Ratings in doubt: {unit}",
        (
            "Signal {signal} over {window_days} days: {statistic}, threshold {threshold}. No verdict yet. "
            "Please check whether ratings were induced, given for others or made up."
        ),
    ),
    "quarantine_share": (
        "Many ratings are held: {unit}",
        (
            "{held} of {ratings} ratings of the last {hours} hours are held because they are in doubt. "
            "Please review them: release or exclude."
        ),
    ),
    "ranking_stale": (
        "Rankings stand still",
        (
            "{waiting} ratings are in no published ranking; they stand at message {position} of FEEDBACK. "
            "Please check scoring."
        ),
    ),
    "dead_letters": (
        "Dead letter: {consumer} gave up on a message",
        (
            "{consumer} ({service}) gave up on message {sequence} of {stream}: {error}. "
            "See `pingyi deadletter list`; replay it once the cause is mended. "
            "Told once in {period_minutes} minutes."
        ),
    ),
    "stream_diverged": (
        "The audit archive and {stream} differ",
        (
            "{kind}: messages {first} to {last}, {sequences} known so far. Delete nothing; "
            "see docs/audit.md for what to do."
        ),
    ),
    "case_opened": (
        "A case was opened: {unit}",
        "A finding, or somebody by hand, opened case {case_id}. Please classify it, hand it out and plan.",
    ),
    "case_assigned": (
        "A case for you: {unit}",
        "Case {case_id} was handed to you. Please make a plan.",
    ),
    "case_clock": (
        "{percent} % of the time are used up: {unit}",
        "Case {case_id}: {percent} % of the time for '{clock}' are used up, at {due_at}. Please act.",
    ),
    "case_overdue": (
        "Overdue: {unit}",
        "Case {case_id}: the time for '{clock}' ended at {due_at}. Please see to it; it is one level down.",
    ),
    "case_reopened": (
        "The answer was not accepted: {unit}",
        "Case {case_id} is open again, for the {refused}. time. Please put it right and answer anew.",
    ),
    "case_refused_again": (
        "Refused again: {unit}",
        "The answers to case {case_id} were refused {refused} times. Please look into how it is worked on.",
    ),
    "strike": (
        "Strike: {unit}",
        "{fact} on ladder {ground} ({why}). Nothing follows before somebody one level up has signed it.",
    ),
    "sanction_to_decide": (
        "For you to decide: {unit}",
        "{fact}: {measure}, ground {ground}, step {step}. Look at the events; sign, reject or decide.",
    ),
    "sanction_step": (
        "Sanction: {unit}",
        "{fact}: {measure}, ground {ground}, step {step}. An appeal is possible until {appeal_until}.",
    ),
    "nomination_step": (
        "Nomination: {unit}",
        "{fact}: place {rank} in the list {list} of {period}; the level asked next: {next_level}.",
    ),
    "nomination_to_confirm": (
        "A nomination for you to confirm: {nominee}",
        "{fact}: place {rank} in the list {list} of {period}. Please look into it and confirm it.",
    ),
    "talk_candidate": (
        "Candidate for a talk: {unit}",
        (
            "Place {rank} of {ranked} in the list {list} of {period}, score {score}, upper end of its "
            "interval {interval_high}. Nothing follows unless you decide so. Enough for a talk: {proposable}."
        ),
    ),
    "quarterly_check": (
        "Quarterly check {period}",
        "The results of {period} are final. Please check what is below you: {command}.",
    ),
    "escalation": (
        "Not acknowledged in time ({rule}): {unit}",
        (
            "An alert of the rule {rule}, told at {told_at}, has waited for more than {threshold} for an "
            "acknowledgement. You are step {step} after those who were told first. Please take it over."
        ),
    ),
    "digest": (
        "{alerts} alerts in one",
        "{alerts} alerts were held back for quiet hours, because they belong together, or above a limit:",
    ),
    "channel_disabled": (
        "A receiver of alerts wants no more: {endpoint}",
        "It answered 410 and gets nothing until its address is corrected or it is enabled again.",
    ),
}
"""Title and body for each rule; one that is not registered (any more) shows its own text under an
English frame. `values_of` adds some to the alert's figures."""

VARIANTS_EN: Final[Mapping[tuple[str, str], tuple[str, str]]] = {
    ("stream_diverged", Severity.INFO.value): (
        "The audit archive and {stream} agree again",
        "What was found before ({kind}) is gone.",
    ),
    ("case_assigned", "transfer-proposed"): (
        "You are asked to take a case over: {unit}",
        "Case {case_id}: please accept it, or refuse it with a reason.",
    ),
    ("case_assigned", "transfer-refused"): (
        "A case stays with you: {unit}",
        "Case {case_id}: whom you asked to take it over has refused.",
    ),
    ("case_assigned", "inquired"): (
        "A question from one level up: {unit}",
        "Somebody one level up asks about case {case_id}. Please reply in time.",
    ),
    ("case_overdue", "confirm"): (
        "A confirmation is due: {unit}",
        "Case {case_id}: nobody has spoken on the answer until {due_at}. Please look into it and confirm it.",
    ),
    ("case_overdue", "review"): (
        "Another look is due: {unit}",
        "Case {case_id} was explained as class C. Please see whether it can be solved now, since {due_at}.",
    ),
    ("case_overdue", "pause"): (
        "The wait for a citizen is over: {unit}",
        "Case {case_id} goes on by itself since {due_at}. Please see to it; it is one level down.",
    ),
    ("case_overdue", "inquiry"): (
        "No reply to a question: {unit}",
        "Case {case_id}: the time to reply ended at {due_at}. Please see to it; it is one level down.",
    ),
    ("strike", "strike-withdrawn"): (
        "A strike counts no more: {unit}",
        "A strike on ladder {ground} is withdrawn ({why}).",
    ),
    ("sanction_to_decide", "appealed"): (
        "An appeal for you to decide: {unit}",
        "{measure}, ground {ground}, step {step}: in force until somebody else than who signed has decided.",
    ),
    ("sanction_step", "appeal-decided"): (
        "An appeal is decided: {unit}",
        "{measure}, ground {ground}, step {step}. Granted, so that it holds no more: {granted}.",
    ),
    ("sanction_step", "withdrawn"): (
        "A sanction holds no more: {unit}",
        "{measure}, ground {ground}, step {step}, is withdrawn ({why}).",
    ),
    ("sanction_step", "veto-imposed"): (
        "Veto: {unit}",
        "{measure} is signed: no awards this year. An appeal is possible until {appeal_until}.",
    ),
    ("sanction_step", "veto-lifted"): (
        "A veto holds no more: {unit}",
        "{measure} is lifted: awards are possible again.",
    ),
    ("nomination_step", "nomination-withdrawn"): (
        "A nomination is off: {unit}",
        "A veto takes away the nomination for place {rank} in the list {list} of {period}.",
    ),
}
"""Where one rule says different things: by the alert's fact, clock or severity."""


def english(alert: Alert) -> tuple[str, str]:
    """Return title and body of `alert` in English."""
    known = _template_of(alert)
    if known is None:
        return f"{alert.rule}: {alert.unit_name or alert.title}", alert.body
    values = values_of(alert)
    title, body = known[0].format_map(values), known[1].format_map(values)
    count = listed_by(alert)
    return title, body if count is None else "\n".join((body, *_listed(alert, count)))


def _template_of(alert: Alert) -> tuple[str, str] | None:
    figures = alert.figures
    for variant in (figures.get("fact"), figures.get("clock"), alert.severity.value):
        if variant is not None and (alert.rule, variant) in VARIANTS_EN:
            return VARIANTS_EN[alert.rule, variant]
    return TITLES_EN.get(alert.rule)


def values_of(alert: Alert) -> dict[str, str]:
    """Return the values of a template; what an alert does not say is a dash."""
    figures = alert.figures
    more = {
        "start_rank": figures.get("day_start_rank", figures.get("previous_rank")),
        "about": figures.get("issue", figures.get("kind")),
        "next_level": figures.get("awaits", "none"),
    }
    return _Values(
        figures,
        unit=alert.unit_name or "the platform",
        **{name: value for name, value in more.items() if value is not None},
    )


class _Values(dict[str, str]):
    def __missing__(self, key: str) -> str:
        return "-"


def _listed(alert: Alert, count: int) -> list[str]:
    """Return the lines of a digest; the titles in them stay in Chinese, as the rules gave them."""
    lines = [line for line in alert.body.splitlines() if line.startswith(ITEM)]
    rest = count - len(lines)
    for severity, label in SEVERITY_LABELS.items():
        start = f"{ITEM}[{label}]"
        lines = [
            f"{ITEM}[{SEVERITIES_EN[severity]}]{line.removeprefix(start)}" if line.startswith(start) else line
            for line in lines
        ]
    return [*lines, *([rest_line(rest, Language.EN)] if rest else [])]
