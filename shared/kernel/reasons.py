"""Why a rating was revised: a closed list for each kind of revision, instead of free text.

Free text would carry names into streams that can't forget (ADR 0007), and nobody could count it.
"""

from enum import StrEnum


class CorrectionReason(StrEnum):
    """Why other fields are in force (更正)."""

    MISTYPED = "mistyped"
    """Taken down with a wrong grade (录入有误)."""
    WRONG_UNIT = "wrong_unit"
    """Meant for another unit (单位有误)."""
    CITIZEN_REQUEST = "citizen_request"
    """The citizen asked for it (群众要求)."""
    CALL_BACK = "call_back"
    """The call-back found out what was meant (回访核实)."""


class WithdrawalReason(StrEnum):
    """Why the citizen took a rating back (撤回)."""

    UNSTATED = "unstated"
    """No reason is needed (未说明)."""
    MISTAKEN = "mistaken"
    """Rated by mistake (误评)."""
    RESOLVED = "resolved"
    """The matter has been put right (问题已解决)."""
    PRESSURED = "pressured"
    """Somebody had told the citizen how to rate (受到干预)."""


class ExclusionReason(StrEnum):
    """Why a rating does not count after review (剔除)."""

    NO_SERVICE = "no_service"
    """There was no such service (未办理业务)."""
    MALICIOUS = "malicious"
    """Meant to harm (恶意评价)."""
    UNTRUE = "untrue"
    """Found to be untrue (评价失实)."""
    REPEATED = "repeated"
    """The same matter was rated more than once (重复评价)."""
    STUFFED = "stuffed"
    """Given in numbers to lift or sink a unit (刷评)."""
    INTERESTED = "interested"
    """Given by the unit itself, or by somebody with a stake in it (利害关系)."""
    OUT_OF_SCOPE = "out_of_scope"
    """About something that the unit does not answer for (非本单位职责)."""
    WRONG_IMPORT = "wrong_import"
    """Came with a bulk import that was a mistake (误导入)."""


class ReinstatementReason(StrEnum):
    """Why an excluded rating counts again (恢复)."""

    APPEAL_UPHELD = "appeal_upheld"
    """The appeal was right (申诉成立)."""
    NEW_EVIDENCE = "new_evidence"
    """Something new came to light (新证据)."""
    EXCLUDED_IN_ERROR = "excluded_in_error"
    """The exclusion was a slip (误剔除)."""


class QuarantineReason(StrEnum):
    """Why a rating is held (暂存待核)."""

    BURST = "burst"
    """Too many ratings of the unit at once (集中突增)."""
    SHARED_DEVICE = "shared_device"
    """Too many ratings from one device or address (同一设备)."""
    SHARED_TEXT = "shared_text"
    """Too many ratings with one text (文本雷同)."""
    TOO_GOOD = "too_good"
    """The unit's ratings are too good to be true (异常全优)."""
    UNDER_REVIEW = "under_review"
    """Somebody doubts it, and it is being looked into (核查中)."""


class ReleaseReason(StrEnum):
    """Why a held rating counts (解除暂存)."""

    FOUND_GENUINE = "found_genuine"
    """Looked into and found to be sound (核实属实)."""
    REVIEW_EXPIRED = "review_expired"
    """Nobody decided in time: in doubt it counts (逾期未决)."""
    HELD_IN_ERROR = "held_in_error"
    """The holding was a slip (误暂存)."""


class RejectionReason(StrEnum):
    """Why a second person refused what somebody had asked for (驳回)."""

    UNFOUNDED = "unfounded"
    """The reason that was given does not hold (理由不成立)."""
    INSUFFICIENT_EVIDENCE = "insufficient_evidence"
    """Nothing shows it (证据不足)."""
    WRONG_TARGET = "wrong_target"
    """About other ratings than were meant (对象有误)."""
    NEEDS_REVISION = "needs_revision"
    """Right in principle, to be asked for anew (需修改后重报)."""


class RuleChangeReason(StrEnum):
    """Why another rule pack is to be in force (规则变更)."""

    POLICY = "policy"
    """A decision of the department (政策调整)."""
    CORRECTION = "correction"
    """The pack in force says something wrong (更正错误)."""
    CALIBRATION = "calibration"
    """Thresholds follow what was measured (参数校准)."""
