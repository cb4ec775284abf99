"""Round trips are counted by who speaks."""

import socket
import threading
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

from bench.postgres_trips import counted_trips


def test_requests_sent_together_are_one_trip() -> None:
    # The path of a socket must be short.
    with TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{folder}/.s.PGSQL.5432")
        listener.listen()

        def echo() -> None:
            connection, _ = listener.accept()
            with connection, connection.makefile("rb") as lines:
                while line := lines.readline():
                    if line != b"silent\n":
                        connection.sendall(line)

        server = threading.Thread(target=echo)
        server.start()
        with counted_trips(f"postgresql://postgres:@/db?host={folder}") as (url, count):
            parts = urlsplit(url)
            assert (parts.username, parts.path) == ("postgres", "/db")
            address = (str(parts.hostname), int(parts.port or 0))
            with socket.create_connection(address) as client, client.makefile("rb") as answers:
                client.sendall(b"silent\nfirst\n")
                assert answers.readline() == b"first\n"
                client.sendall(b"second\n")
                assert answers.readline() == b"second\n"
            server.join()
        assert count() == 2
