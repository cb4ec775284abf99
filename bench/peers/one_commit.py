"""The peer of createGroup on SQLite: openpns with one commit, and one fsync, for each request.

It is `openpns` itself with its batching of writes off; it takes the same arguments.
"""

from openpns.storage.sqlite import writer

if not hasattr(writer, "_BATCH_WRITES_MAX"):
    raise SystemExit("bench: openpns.storage.sqlite.writer has no _BATCH_WRITES_MAX any more")
# At the top: workers are spawned, and run this module again before they load the server.
writer._BATCH_WRITES_MAX = 1  # type: ignore[misc]  # noqa: SLF001

if __name__ == "__main__":
    from openpns.cli.main import main

    main()
