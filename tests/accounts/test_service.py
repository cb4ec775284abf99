from collections.abc import Sequence

from msgspec import UNSET

from openpns import limits
from openpns.accounts import service
from openpns.accounts.wire import Limit
from openpns.core.context import Context


async def test_get_limits_returns_limits_of_features_and_then_of_the_account(
    context: Context,
) -> None:
    async def of_feature(given: Context) -> Sequence[Limit]:
        assert given is context
        return [Limit("groups", None, 4)]

    found = await service.get_limits(context, of_features=[of_feature, of_feature])
    assert [(limit.name, limit.max, limit.used) for limit in found.limits] == [
        ("groups", None, 4),
        ("groups", None, 4),
        ("clientTokenChars", limits.CLIENT_TOKEN_CHARS_MAX, UNSET),
        ("bodyBytes", limits.BODY_BYTES_MAX, UNSET),
        ("tsSkewMs", limits.TS_SKEW_MS_MAX, UNSET),
        ("callsPerSecond", None, UNSET),
        ("callsAtOnce", None, 0),
        ("customerCallsPerSecond", None, UNSET),
        ("customerCallsAtOnce", None, 0),
    ]
    assert found.schemes == ["md5", "sha256", "hmac-sha256"]
