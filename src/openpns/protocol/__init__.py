"""What crosses the wire, and nothing that touches a socket or a file."""
