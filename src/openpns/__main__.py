"""`python -m openpns`: the same as `openpns`."""

from openpns.cli.main import main

main()
