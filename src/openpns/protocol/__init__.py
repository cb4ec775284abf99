"""The wire protocol, without I/O: signing, headers, fields, envelope."""
