import pytest

from openpns.client.requests import RawRequest


@pytest.mark.parametrize("action", ["", "list group", "a\r\nb", "组", "a\x00", "\ud800"])
def test_request_refuses_action_that_cannot_be_sent(action: str) -> None:
    with pytest.raises(ValueError, match="one word of printable ASCII"):
        RawRequest(action)
