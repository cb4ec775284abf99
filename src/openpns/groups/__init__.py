"""Number groups."""
