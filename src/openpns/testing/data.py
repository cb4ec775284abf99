"""The emulator's data: what a test adds and looks at, without a request."""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import msgspec

from openpns.client.call_record_types import CallRecord
from openpns.client.delivery_types import Delivery
from openpns.client.group_types import Group
from openpns.numbers.audios import Audios
from openpns.testing.service import EmulatedService, Key
from openpns.testing.state_file import GroupState

if TYPE_CHECKING:
    from openpns.testing.webhooks import EmulatedWebhooks

ResultT = TypeVar("ResultT")


class EmulatedData(ABC):
    """The methods of `Emulator` on its data."""

    customer_id: str
    _service: EmulatedService

    @abstractmethod
    def _run(self, work: Coroutine[Any, Any, ResultT]) -> ResultT: ...

    def add_customer(
        self,
        customer_id: str,
        access_key: str | None = None,
        access_secret: str | None = None,
        *,
        read_only: bool = False,
    ) -> Key:
        """Add a customer with its own access key; return the key.

        Args:
            customer_id: 1 to 64 letters, digits, `_`, `.` and `-`.
            access_key: 4 to 64 letters, digits, `_` and `-`; random if None.
            access_secret: 8 to 128 printable ASCII characters without spaces; random if None.

        Raises:
            ConfigError: A value is not allowed, or already exists.
        """
        return self._run(
            self._service.add_customer(
                customer_id,
                access_key=access_key,
                access_secret=access_secret,
                read_only=read_only,
            )
        )

    def add_group(
        self,
        phones: Sequence[str] = (),
        *,
        name: str = "",
        remark: str = "",
        customer_id: str | None = None,
        group_id: str = "",
    ) -> str:
        """Add a number group without a request; return its id.

        Args:
            phones: Each with country code.
            name: The id if empty.
            customer_id: The emulator's own if None.
            group_id: 32 lower-case hex characters; random if empty.

        Raises:
            ConfigError: A value is not allowed, the customer is unknown, or the id exists.
        """
        group = GroupState(
            group_id=group_id,
            group_name=name,
            phones=phones if isinstance(phones, str) else ",".join(phones),
            remark=remark,
        )
        return self._run(self._service.add_group(customer_id or self.customer_id, group))

    def add_numbers(
        self,
        *dids: str,
        business_id: str = "default",
        state: str = "active",
        customer_id: str | None = None,
    ) -> list[str]:
        """Add virtual numbers, "active", "draining" or "disabled"; return them in digits.

        Raises:
            ConfigError: A value is not allowed, or a number exists already.
        """
        owner = customer_id or self.customer_id
        return self._run(self._service.add_numbers(owner, dids, business_id, state))

    def set_audios(
        self,
        did: str | None = None,
        *,
        audio_when_call_fails: str | None = None,
        audio_for_wrong_digits: str | None = None,
        audio_that_asks_for_digits: str | None = None,
        customer_id: str | None = None,
    ) -> None:
        """Set the URLs of all three audios of a virtual number, or of its customer (None).

        An audio that is None is that of the customer, of a customer the switch's own tone; an empty
        one is the switch's own tone.

        Raises:
            ConfigError: A URL is not allowed, or nobody has the virtual number.
        """
        given = Audios(audio_when_call_fails, audio_for_wrong_digits, audio_that_asks_for_digits)
        self._run(self._service.set_audios(customer_id or self.customer_id, did, given))

    def call(
        self, caller: str, did: str, extension: str | None = None, *, customer_id: str | None = None
    ) -> str | None:
        """Return whom a call reaches at the emulator's time, as a switch would ask.

        Args:
            caller: Who calls the virtual number `did`.
            extension: The digits that the caller dials, if any.
            customer_id: The emulator's own if None.

        Returns:
            The phone; None for nobody, and "" if the caller is asked for digits first.

        Raises:
            ConfigError: A value is not allowed.
        """
        owner = customer_id or self.customer_id
        return self._run(self._service.call(owner, caller, did, extension))

    def groups(self, customer_id: str | None = None) -> list[Group]:
        """Return a customer's stored groups, oldest first; the emulator's own customer if None."""
        return self._run(self._service.groups(customer_id or self.customer_id))

    def call_records(self, customer_id: str | None = None) -> list[CallRecord]:
        """Return a customer's call records, newest first; the emulator's own customer if None."""
        return self._run(self._service.call_records(customer_id or self.customer_id))

    def set_webhook(
        self,
        url: str,
        *,
        kinds: Sequence[str] | None = None,
        state: Literal["active", "disabled"] = "active",
        secret: str | None = None,
        customer_id: str | None = None,
    ) -> str:
        """Set where a customer's events are delivered; return the secret that signs them.

        Args:
            url: http or https; loopback and private networks are allowed, as public ones.
            kinds: "callRecord" and "unboundCall"; None for those the webhook has, at first both.
            secret: None for the one the webhook has, at first a random one.
            customer_id: The emulator's own if None.

        Raises:
            ConfigError: A value is not allowed.
        """
        owner = customer_id or self.customer_id
        return self._run(
            self._with_webhooks(lambda webhooks: webhooks.set(owner, url, kinds, state, secret))
        )

    def rotate_webhook_secret(
        self, *, grace_s: float = 86_400, customer_id: str | None = None
    ) -> str:
        """Give a webhook a new secret, and return it; for `grace_s` the old one signs as well.

        Raises:
            ConfigError: The customer has no webhook, or grace_s is below 0.
        """
        owner = customer_id or self.customer_id
        return self._run(
            self._with_webhooks(lambda webhooks: webhooks.rotate_secret(owner, grace_s))
        )

    def add_test_event(self, customer_id: str | None = None) -> str:
        """Queue a test event for a customer's webhook; return its `webhook-id`.

        Raises:
            ConfigError: The customer has no webhook, or it is not active.
        """
        owner = customer_id or self.customer_id
        return self._run(self._with_webhooks(lambda webhooks: webhooks.add_test_event(owner)))

    def deliver(self) -> int:
        """Make every attempt to deliver that is due by `clock`; return how many were made.

        It returns when the receivers have answered, and sends each receiver one event at a time,
        oldest first. An attempt that fails makes the next one due later by the schedule.

        Raises:
            RuntimeError: The emulator was reset or stopped meanwhile.
        """
        return self._run(self._with_webhooks(lambda webhooks: webhooks.deliver()))

    def deliveries(self, customer_id: str | None = None) -> list[Delivery]:
        """Return a customer's deliveries, newest first; the emulator's own customer if None."""
        owner = customer_id or self.customer_id
        return self._run(self._with_webhooks(lambda webhooks: webhooks.deliveries(owner)))

    async def _with_webhooks(
        self, use: "Callable[[EmulatedWebhooks], Awaitable[ResultT]]"
    ) -> ResultT:
        return await use(self._service.webhooks)

    def dump(self) -> dict[str, Any]:
        """Return the stored data as the content of a state file, with the secrets.

        Call records and deliveries are not in it.
        """
        values: dict[str, Any] = msgspec.to_builtins(self._run(self._service.dump()))
        return values
