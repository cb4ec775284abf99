from openpns.core.actions import AtRevision, encode_at_revision, encode_data, encode_members
from openpns.groups.wire import GroupCreated, PhonePage


def test_encode_members_writes_fields_of_the_envelope_itself() -> None:
    written = encode_members(GroupCreated("0" * 32))
    assert written == b'"groupId":"00000000000000000000000000000000"'


def test_encode_data_writes_nothing_for_none() -> None:
    assert encode_data(None) == b""


def test_encode_data_writes_a_result_as_data() -> None:
    assert encode_data(PhonePage("", 0)) == b'"data":{"phones":"","total":0}'


def test_encode_at_revision_leaves_the_revision_out() -> None:
    written = encode_at_revision(AtRevision(7, PhonePage("", 0)))
    assert written == b'"data":{"phones":"","total":0}'
