"""`openpns groups`: number groups, through the API; import and export also on the database."""

import click

from openpns.cli.lazy import LazyGroup


@click.group(
    cls=LazyGroup,
    lazy={
        "add": ("openpns.cli.groups.edit:add", "Add phones to a group."),
        "create": ("openpns.cli.groups.edit:create", "Create a group and print its id."),
        "delete": ("openpns.cli.groups.edit:delete", "Delete groups with all their phones."),
        "export": ("openpns.cli.groups.transfer:export", "Export all groups to a file."),
        "find": ("openpns.cli.groups.find:find", "Find groups by phone, name or id."),
        "get": ("openpns.cli.groups.show:get", "Show one group with all its phones."),
        "import": ("openpns.cli.groups.transfer:import_", "Import groups from a file."),
        "list": ("openpns.cli.groups.list:list_", "List groups, oldest first."),
        "phones": ("openpns.cli.groups.show:phones", "Print a group's phones."),
        "remove": ("openpns.cli.groups.edit:remove", "Remove phones from a group."),
        "rename": ("openpns.cli.groups.edit:rename", "Change a group's name or remark."),
        "replace": ("openpns.cli.groups.edit:replace", "Replace all phones of a group."),
        "show": ("openpns.cli.groups.show:show", "Show a group's attributes without its phones."),
    },
)
def groups() -> None:
    """List, change, import and export number groups."""
