"""Why somebody wants to know, or destroys, what the vault keeps of a citizen: closed lists, no free text.

Free text would carry names into streams that can't forget (ADR 0007), and nobody could count it.
"""

from enum import StrEnum


class UnmaskReason(StrEnum):
    """Why a text or a contact has to be read (解封理由)."""

    CALL_BACK = "call_back"
    """A real-name bad review is called back (实名差评回访)."""
    CASE = "case"
    """The matter can't be put right without it (办理需要)."""
    SAFETY = "safety"
    """Somebody is in danger (人身安全)."""
    ABUSE = "abuse"
    """Ratings are suspected to be made up (刷评核查)."""
    LAW = "law"
    """A law demands it (法定要求)."""
    CITIZEN_REQUEST = "citizen_request"
    """The citizen asked what is kept (本人查询)."""


class ErasureReason(StrEnum):
    """Why text and contact are destroyed (删除理由); PIPL article 47."""

    CONSENT_WITHDRAWN = "consent_withdrawn"
    """The citizen takes the consent back (撤回同意)."""
    PURPOSE_FULFILLED = "purpose_fulfilled"
    """What they were kept for is done (目的已实现)."""
    PERIOD_OVER = "period_over"
    """They have been kept for as long as was said (保存期限届满)."""
    UNLAWFUL = "unlawful"
    """They should not have been taken down (违法处理)."""
