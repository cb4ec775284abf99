"""List your number groups: the first ones, then page by page all of them.

    pip install openpns
    export OPENPNS_BASE_URL=https://pns.example.com
    export OPENPNS_ACCESS_KEY=... OPENPNS_ACCESS_SECRET=...
    python list_groups.py

A profile in ~/.config/openpns/config.toml works as well; see docs/sdk.md.
"""

import sys

import openpns

PAGE_SIZE = 2


def main() -> int:
    """Print the groups; return the exit code."""
    try:
        with openpns.Client() as pns:
            print(f"{pns.groups.list(limit=1).total} groups")
            phones = 0
            for group in pns.groups.iterate(page_size=PAGE_SIZE):
                print(f"{group.group_id}  {len(group.phones)} phones  {group.name}")
                phones += len(group.phones)
            print(f"{phones} phones in all")
    except openpns.OpenPNSError as error:
        # The text says what was wrong; a refusal also has its code and request id.
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
