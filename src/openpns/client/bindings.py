"""The methods of both clients for bindings, calls and virtual numbers."""

from collections.abc import AsyncGenerator, Iterator

from openpns import limits
from openpns.client import binding_requests, number_requests
from openpns.client.binding_types import Binding, BindingFilters, Kind, NumberState, VirtualNumber
from openpns.client.methods import AsyncMethods, Method, SyncMethods
from openpns.client.pages import BindingPager, NumberPager


class _BindingMethods:
    """The methods that send one request, the same for both clients."""

    bind_axb = Method(binding_requests.bind_axb)
    bind_extension = Method(binding_requests.bind_extension)
    bind_axg = Method(binding_requests.bind_axg)
    unbind = Method(binding_requests.unbind)
    update = Method(binding_requests.update_binding)
    get = Method(binding_requests.get_binding)
    list = Method(binding_requests.list_bindings)
    query = Method(binding_requests.query_call)
    explain = Method(binding_requests.explain_call)


class Bindings(_BindingMethods, SyncMethods):
    """The bindings of a `Client`."""

    def iterate(
        self,
        page_size: int = limits.BINDINGS_IN_PAGE_MAX,
        *,
        phone: str | None = None,
        did: str | None = None,
        group_id: str | None = None,
        kind: Kind | None = None,
        customer_bind_id: str | None = None,
    ) -> Iterator[Binding]:
        """Return every live binding, or those that match, page by page, oldest first.

        On openpns no binding is skipped or returned twice, whatever begins or ends during the
        iteration. Another server is paged by offset: if a binding ends during the iteration, a
        later one may be skipped.

        Args:
            page_size: How many bindings a page holds, 1 to 1000.
            phone: Only those that name this phone in any role. An extension of openpns, like all
                that follow.

        Raises:
            ValueError: page_size is outside its range.
        """
        filters = BindingFilters(phone, did, group_id, kind, customer_bind_id)
        return self._pages(BindingPager(page_size, filters))


class AsyncBindings(_BindingMethods, AsyncMethods):
    """The bindings of an `AsyncClient`."""

    def iterate(
        self,
        page_size: int = limits.BINDINGS_IN_PAGE_MAX,
        *,
        phone: str | None = None,
        did: str | None = None,
        group_id: str | None = None,
        kind: Kind | None = None,
        customer_bind_id: str | None = None,
    ) -> AsyncGenerator[Binding, None]:
        """Return every live binding, or those that match, page by page; see `Bindings.iterate`."""
        filters = BindingFilters(phone, did, group_id, kind, customer_bind_id)
        return self._pages(BindingPager(page_size, filters))


class _NumberMethods:
    list = Method(number_requests.list_numbers)


class Numbers(_NumberMethods, SyncMethods):
    """The virtual numbers of a `Client`. An extension of openpns."""

    def iterate(
        self, page_size: int = limits.NUMBERS_IN_PAGE_MAX, *, state: NumberState | None = None
    ) -> Iterator[VirtualNumber]:
        """Return every virtual number, or those in a state, page by page, by number.

        Raises:
            ValueError: page_size is not from 1 to 1000.
        """
        return self._pages(NumberPager(page_size, state))


class AsyncNumbers(_NumberMethods, AsyncMethods):
    """The virtual numbers of an `AsyncClient`. An extension of openpns."""

    def iterate(
        self, page_size: int = limits.NUMBERS_IN_PAGE_MAX, *, state: NumberState | None = None
    ) -> AsyncGenerator[VirtualNumber, None]:
        """Return every virtual number, page by page; see `Numbers.iterate`."""
        return self._pages(NumberPager(page_size, state))
