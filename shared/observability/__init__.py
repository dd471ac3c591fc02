"""Logging, metrics, health and tracing, the same for every service."""
