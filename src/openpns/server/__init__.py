"""The server: the hot path, its adapters to RSGI and ASGI, settings, metrics, the admin port."""
