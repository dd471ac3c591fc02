"""Checking the audit log from outside: what an auditor, a citizen and a witness need."""
