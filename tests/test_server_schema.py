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
# A description of JSON has no word for too many bytes, or too many sentences of all documents together.
EXPECTED = {
    "positive_data_acceptance": {"expected-statuses": ["200", "413"]},
    "negative_data_rejection": {"expected-statuses": ["400", "413", "415", "422"]},
}
CONFIG = schemathesis.config.SchemathesisConfig.from_dict({"checks": EXPECTED})
schema = schemathesis.openapi.from_asgi(
    "/openapi.json", create_app(WordClassifier(), Limits(workers=2)), config=CONFIG, headers=HOST
)


@schema.parametrize()
@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
def test_the_api_is_as_described(case):
    case.call_and_validate(headers=HOST)
