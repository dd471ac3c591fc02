"""History 历史: the events of the past from the stream, the archive or a file, and what was ranked when."""
