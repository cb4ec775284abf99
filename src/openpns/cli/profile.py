"""What the commands that call the API share: who calls, and where."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click
import msgspec

if TYPE_CHECKING:
    from openpns.client.config import ClientConfig
    from openpns.client.http import AsyncClient, Client

CommandT = TypeVar("CommandT", bound=Callable[..., Any])

_OPTIONS: Final = (
    click.option("--profile", metavar="NAME", help="A profile of the configuration file."),
    click.option("--base-url", metavar="URL", help="The server, e.g. https://pns.example.com."),
    click.option("--access-key", metavar="KEY", help="The access key; never its secret."),
)


class Target(msgspec.Struct, frozen=True):
    """Which server to call and as whom, as far as the command line says.

    Attributes:
        profile: A profile's name.
        base_url: The server.
        access_key: The access key. Its secret stands in the environment or in the profile:
            arguments can be read by other users of the machine.
    """

    profile: str | None
    base_url: str | None
    access_key: str | None

    @property
    def is_given(self) -> bool:
        """Whether the command line says anything."""
        return any((self.profile, self.base_url, self.access_key))

    def load(self) -> "ClientConfig":
        """Return the client's settings.

        Raises:
            ConfigError: A setting is missing or not allowed.
        """
        from openpns.client.config import load_config

        return load_config(self.base_url, self.access_key, profile=self.profile)


def client_options(command: CommandT) -> CommandT:
    """Give a command the options that say which server to call, as its argument `target`.

    Args:
        command: The command's function.
    """
    from functools import wraps

    @wraps(command)
    def with_target(
        *args: Any,
        profile: str | None,
        base_url: str | None,
        access_key: str | None,
        **others: Any,
    ) -> Any:
        return command(*args, target=Target(profile, base_url, access_key), **others)

    decorated: Any = with_target
    for option in reversed(_OPTIONS):
        decorated = option(decorated)
    made: CommandT = decorated
    return made


@contextmanager
def open_client(target: Target) -> Iterator["Client"]:
    """Open a client, close it at the end.

    Args:
        target: Which server, as whom.

    Raises:
        ConfigError: A setting is missing or not allowed.
    """
    from openpns.client.http import Client

    with (
        clock_warning(),
        Client(target.base_url, access_key=target.access_key, profile=target.profile) as client,
    ):
        yield client


def async_client(target: Target, retries: int) -> "AsyncClient":
    """Return a client for many calls at once.

    Args:
        target: Which server, as whom.
        retries: How often a call is sent again where that cannot do it twice.

    Raises:
        ConfigError: A setting is missing or not allowed.
    """
    from openpns.client.http import AsyncClient

    return AsyncClient(
        target.base_url, access_key=target.access_key, profile=target.profile, retries=retries
    )


@contextmanager
def clock_warning() -> Iterator[None]:
    """Let a clock that is wrong be told as one line on stderr."""
    from openpns.client.timestamps import ClockSkewWarning

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        click.echo(f"openpns: {message}", err=True)

    with warnings.catch_warnings():
        warnings.simplefilter("once", ClockSkewWarning)
        warnings.showwarning = show
        yield
