import base64
import hashlib
import hmac
import time
from datetime import UTC, datetime

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from openpns.deliveries.signature import new_secret, secret_owner, sign

# The example of the Standard Webhooks specification and of its libraries.
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
AT_S = 1614265330
BODY = b'{"test": 2432232314}'
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_sign_agrees_with_the_published_example() -> None:
    assert sign([SECRET], ID, AT_S, BODY) == SIGNATURE


def test_sign_is_hmac_of_id_time_and_bytes() -> None:
    body = '{"name":"é 中文 😀"}'.encode()
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    digest = hmac.new(key, b"msg_1.1700000000." + body, hashlib.sha256).digest()
    expected = f"v1,{base64.b64encode(digest).decode()}"
    assert sign([SECRET], "msg_1", 1_700_000_000, body) == expected


@pytest.mark.parametrize("zone", ["UTC", "Asia/Hong_Kong", "America/New_York"])
def test_signature_does_not_depend_on_the_zone_of_the_machine(
    zone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        assert sign([SECRET], ID, AT_S, BODY) == SIGNATURE
    finally:
        monkeypatch.delenv("TZ")
        time.tzset()


def test_receiver_with_either_secret_verifies_during_rotation() -> None:
    now_s = int(datetime.now(UTC).timestamp())
    secrets = [new_secret(), new_secret()]
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(now_s),
        "webhook-signature": sign(secrets, "msg_1", now_s, BODY),
    }
    for secret in secrets:
        assert Webhook(secret).verify(BODY, headers) == {"test": 2432232314}
    with pytest.raises(WebhookVerificationError):
        Webhook(new_secret()).verify(BODY, headers)


def test_new_secret_has_32_random_bytes() -> None:
    secret = new_secret()
    assert secret.startswith("whsec_")
    assert len(base64.b64decode(secret.removeprefix("whsec_"))) == 32
    assert new_secret() != secret
    assert secret_owner("cus_1") == "webhook:cus_1"
