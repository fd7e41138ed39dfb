"""Bytes to events and back, for every protocol. No sockets, no clock."""
