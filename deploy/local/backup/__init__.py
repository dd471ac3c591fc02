"""Backup, restore and rebuilding of everything that a platform keeps (ADR 0021)."""
