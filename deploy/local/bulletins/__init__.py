"""Bulletins 简报: drafted from what is published, edited by a person, printed, told from forgeries."""
