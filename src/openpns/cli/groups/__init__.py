"""`openpns groups`: number groups, through the API; import and export also on the database."""

import click

from openpns.cli.lazy import LazyGroup


@click.group(
    cls=LazyGroup,
    package="openpns.cli.groups",
    lazy={
        "add": ("edit:add", "Add phones to a group."),
        "create": ("edit:create", "Create a group and print its id."),
        "delete": ("edit:delete", "Delete groups with all their phones."),
        "export": ("transfer:export", "Export all groups to a file."),
        "find": ("find", "Find groups by phone, name or id."),
        "get": ("show:get", "Show one group with all its phones."),
        "import": ("transfer:import_", "Import groups from a file."),
        "list": ("list:list_", "List groups, oldest first."),
        "phones": ("show:phones", "Print a group's phones."),
        "remove": ("edit:remove", "Remove phones from a group."),
        "rename": ("edit:rename", "Change a group's name or remark."),
        "replace": ("edit:replace", "Replace all phones of a group."),
        "show": ("show", "Show a group's attributes without its phones."),
    },
)
def groups() -> None:
    """List, change, import and export number groups."""
