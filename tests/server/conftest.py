"""The fixtures of the API, which its transports use as well."""

from tests.api.conftest import _logging_as_before, key, log, secret_box, server

__all__ = ["_logging_as_before", "key", "log", "secret_box", "server"]
