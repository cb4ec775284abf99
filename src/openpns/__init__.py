"""openpns: a self-hosted privacy number service.

This package root holds only the public names; importing it loads neither the server nor a
database driver.
"""

__version__ = "0.1.0"

__all__ = ["__version__"]
