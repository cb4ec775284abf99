"""Where data is kept: one protocol, two engines."""
