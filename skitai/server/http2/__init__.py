"""HTTP/2: a connection, its streams and its tunnels."""
