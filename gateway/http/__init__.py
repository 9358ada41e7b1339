"""HTTP/1.1 without sockets."""
