"""Rule packs: policy as effective-dated, versioned, hashed data (`packs/*.toml`).

`load_pack` gives the `RulePack` of a day; a past ranking is replayed under its own pack, a "what if" under
another.
"""

from shared.rules.alerting import Severity
from shared.rules.checking import Examination, examine_packs
from shared.rules.differences import Setting, pack_differences, pack_settings
from shared.rules.loading import UnknownPackError, load_pack, load_packs, pack_by_hash
from shared.rules.pack import RulePack
from shared.rules.parsing import parse_pack
from shared.rules.table import RulePackError

__all__ = [
    "Examination",
    "RulePack",
    "RulePackError",
    "Setting",
    "Severity",
    "UnknownPackError",
    "examine_packs",
    "load_pack",
    "load_packs",
    "pack_by_hash",
    "pack_differences",
    "pack_settings",
    "parse_pack",
]
