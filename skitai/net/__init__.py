"""Sockets: listening, accepting, reading and writing."""
