"""The vocabulary every service shares: errors, ids, clock, grades, divisions and units.

Standard library only, so that any domain module may import it. Import from the submodules:
`shared.kernel.errors`, `.ids`, `.clock`, `.grades`, `.regions`, `.units`.
"""
