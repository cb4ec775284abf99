"""The server: processes, adapters to RSGI and ASGI, settings, the admin port."""
