import pytest
from tests.client.shells import Shell, run_async, run_sync


@pytest.fixture(params=[run_sync, run_async], ids=["sync", "async"])
def shell(request: pytest.FixtureRequest) -> Shell:
    """Runs a function with a client of each kind."""
    run: Shell = request.param
    return run
