"""`openpns` commands that examine requests."""
