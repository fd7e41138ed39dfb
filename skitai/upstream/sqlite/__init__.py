"""SQLite in threads of its own."""
