"""Bulk import: files of ratings as offices have them, sent to intake line by line, resumable and undoable."""
