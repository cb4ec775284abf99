"""The client: a core that does no I/O, and two shells around it, sync and async."""
