"""HPACK (RFC 7541): header blocks of HTTP/2."""
