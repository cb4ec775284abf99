import apsw
import pytest

from openpns.errors import InternalError, ServiceUnavailable
from openpns.storage.sqlite.errors import to_wire_error


@pytest.mark.parametrize("kind", [apsw.FullError, apsw.BusyError, apsw.CantOpenError])
def test_cause_of_unavailable_storage_is_noted_for_the_log(kind: type[apsw.Error]) -> None:
    error = kind("database or disk is full")
    answer = to_wire_error(error)
    assert isinstance(answer, ServiceUnavailable)
    assert answer.__cause__ is error
    assert error.__notes__ == ["database or disk is full"]


def test_text_that_may_hold_values_is_not_noted() -> None:
    error = apsw.ConstraintError("85211111114")
    assert isinstance(to_wire_error(error), InternalError)
    assert not hasattr(error, "__notes__")
