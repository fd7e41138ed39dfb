"""Connections and exchanges: the path that every request takes."""
