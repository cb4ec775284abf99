"""`openpns` commands that serve."""
