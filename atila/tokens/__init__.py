"""Signed and one-time tokens, password hashes; pure functions, and the methods of ``was``."""
