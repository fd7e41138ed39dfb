"""HTTP/2 (RFC 9113): bytes to requests and back, without sockets."""
