"""HTTP/3: the port, its clients, their requests and tunnels."""
