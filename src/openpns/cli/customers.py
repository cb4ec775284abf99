"""`openpns customers`: the operator's, straight at the database."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from openpns.cli.database import (
    database_option,
    when,
    with_store,
)
from openpns.cli.output import json_option, print_json, print_table

if TYPE_CHECKING:
    from openpns.accounts.customers import Customer


@click.group()
def customers() -> None:
    """Create, list, disable and enable customers."""


@customers.command()
@click.argument("customer_id")
@click.option("--name", default="", help="A name for people.")
@database_option
@json_option
def create(customer_id: str, name: str, database: str, *, as_json: bool) -> None:
    """Create a customer; its id is for good."""
    from openpns.accounts import customers
    from openpns.clock import now_ms

    made = with_store(database, lambda store: customers.create(store, now_ms, customer_id, name))
    _print([made], as_json=as_json, single=True)


@customers.command("list")
@database_option
@json_option
def list_(database: str, *, as_json: bool) -> None:
    """List all customers, oldest first."""
    from openpns.accounts import customers

    _print(with_store(database, customers.list_customers), as_json=as_json)


@customers.command()
@click.argument("customer_id")
@database_option
@json_option
def show(customer_id: str, database: str, *, as_json: bool) -> None:
    """Show one customer."""
    from openpns.accounts import customers

    found = with_store(database, lambda store: customers.get(store, customer_id))
    _print([found], as_json=as_json, single=True)


@customers.command()
@click.argument("customer_id")
@database_option
@json_option
def disable(customer_id: str, database: str, *, as_json: bool) -> None:
    """Disable a customer: all its calls are answered 1005 from now on."""
    from openpns.clock import now_ms

    _set_disabled(customer_id, database, now_ms(), as_json=as_json)


@customers.command()
@click.argument("customer_id")
@database_option
@json_option
def enable(customer_id: str, database: str, *, as_json: bool) -> None:
    """Enable a customer again."""
    _set_disabled(customer_id, database, None, as_json=as_json)


def _set_disabled(
    customer_id: str, database: str, disabled_ms: int | None, *, as_json: bool
) -> None:
    from openpns.accounts import customers

    changed = with_store(database, lambda store: customers.disable(store, customer_id, disabled_ms))
    _print([changed], as_json=as_json, single=True)


def _print(found: Sequence["Customer"], *, as_json: bool, single: bool = False) -> None:
    if as_json:
        print_json(found[0] if single else found)
        return
    rows = [
        (
            customer.customer_id,
            str(customer.group_count),
            when(customer.created_ms),
            "disabled" if customer.disabled_ms is not None else "active",
            customer.name,
        )
        for customer in found
    ]
    print_table(
        ("customer", "groups", "created", "state", "name"),
        rows,
        empty="no customers yet; openpns customers create makes one",
    )
