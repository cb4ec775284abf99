"""What `openpns verify` checks of audios."""

from collections.abc import Mapping
from contextlib import aclosing

from openpns.core.verify import Report
from openpns.numbers.audios import find_problem
from openpns.phones import mask_phone
from openpns.storage.store import Store

_ROWS_EACH = 1000


async def check_audios(store: Store, report: Report) -> Mapping[str, int]:
    """Check that audios belong to customers and virtual numbers in use, and are URLs."""
    async with aclosing(store.stream("audio_check", {}, _ROWS_EACH)) as slices:
        async for rows in slices:
            for customer_id, did, is_owned, *urls in rows:
                where = f"customer {customer_id}: an audio"
                if did:
                    where += f" of {mask_phone(did)}"
                if not is_owned:
                    report(f"{where} belongs to no virtual number or customer")
                if any(find_problem(url) for url in urls if url):
                    report(f"{where} is not a URL that is allowed")
    return {}
