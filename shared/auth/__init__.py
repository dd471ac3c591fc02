"""Credentials: who may call which HTTP route, who may use which subject."""
