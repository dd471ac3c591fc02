"""Rule packs: policy as effective-dated, versioned, hashed data (`packs/*.toml`).

`load_pack` gives the `RulePack` of a day; a past ranking is replayed under its own pack, a "what if" under
another.
"""

from shared.rules.loading import load_pack, load_packs
from shared.rules.pack import RulePack, Severity
from shared.rules.parsing import RulePackError, parse_pack

__all__ = ["RulePack", "RulePackError", "Severity", "load_pack", "load_packs", "parse_pack"]
