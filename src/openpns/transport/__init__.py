"""HTTP/1.1 over asyncio: one protocol class for the server, the admin port and the emulator."""
