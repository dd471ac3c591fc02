"""Intake: takes ratings in over HTTP and records them durably as feedback facts."""
