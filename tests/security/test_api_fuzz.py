"""Requests made up from our own OpenAPI document, fitting and not: no crash, no unknown shape."""

from unittest import SkipTest

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from dashboard.app import create_app
from monitor.health import Health
from monitor.recording import recorder
from monitor.store import Store
from tests.support import engine, rulebook

HOST = {"host": "localhost"}
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


@pytest.fixture
def schema():
    store = Store.open("sqlite://")
    app = create_app(
        store=store,
        judge=engine(record=recorder(store)).judge,
        policy=rulebook,
        health=Health({}),
    )
    yield schemathesis.openapi.from_asgi("/openapi.json", app, headers=HOST)
    store.close()


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_the_api_keeps_to_its_document(schema, mode):
    tried = set()

    def check(case):
        tried.add(case.operation.path)
        case.call_and_validate(headers=HOST, checks=CHECKS)

    for found in schema.get_all_operations():
        cases = found.ok().as_strategy(generation_mode=mode)
        try:
            settings(max_examples=25, suppress_health_check=list(HealthCheck))(
                given(cases)(check)
            )()
        except (SkipTest, Unsatisfiable):  # nothing about it can be wrong
            assert mode is GenerationMode.NEGATIVE
    assert {"/v1/score", "/v1/verdicts"} <= tried
