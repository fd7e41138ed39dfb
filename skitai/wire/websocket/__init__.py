"""WebSocket (RFC 6455, 7692): bytes to messages and back, without sockets."""
