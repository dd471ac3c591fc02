"""Builders, clocks, fakes, adapter suites and real-server fixtures for tests."""
