"""`openpns` commands for operators, on the database."""
