"""The fixtures of the API, which its transports use too."""

from tests.api.conftest import _restore_logging, key, log, secret_box, server

__all__ = ["_restore_logging", "key", "log", "secret_box", "server"]
