"""The API does what its OpenAPI description says, and refuses what that does not allow."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings
from served import WordClassifier

from stancewire.server.app import create_app
from stancewire.server.settings import Limits

schemathesis = pytest.importorskip("schemathesis")

# The program asks in this process: no connection is made.
pytestmark = [pytest.mark.allow_hosts(["127.0.0.1"]), pytest.mark.slow]

HOST = {"Host": "127.0.0.1"}
# So that what is described as too much is told as that, and not as too many bytes.
LIMITS = Limits(workers=2, body_bytes=20_000_000, held_bytes=200_000_000, sentences=20_000)
schema = schemathesis.openapi.from_asgi("/openapi.json", create_app(WordClassifier(), LIMITS), headers=HOST)


@schema.parametrize()
@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
def test_the_api_is_as_described(case):
    case.call_and_validate(headers=HOST)
