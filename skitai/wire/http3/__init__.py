"""HTTP/3 (RFC 9114) over QUIC: bytes to requests and back, without sockets."""
