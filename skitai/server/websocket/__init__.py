"""One WebSocket of one client, over any HTTP version."""
