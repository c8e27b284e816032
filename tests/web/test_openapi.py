"""The server does what its OpenAPI description says; schemathesis makes the requests."""

import httpx2
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from examples import EXAMPLES
from serving import FAST, process_of

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
OPERATIONS = {
    "POST /v1/upscale": 40,
    "GET /v1/info": 2,
    "GET /v1/jobs/{id}": 8,
    "GET /v1/jobs/{id}/result": 8,
    "GET /v1/jobs/{id}/events": 8,
    "DELETE /v1/jobs/{id}": 8,
    "GET /healthz": 2,
    "GET /readyz": 2,
}
"""Number of requests that are made of each operation."""


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    data = tmp_path_factory.mktemp("server")
    with process_of(data, WIDESR_MAX_PIXELS="1000000", WIDESR_MAX_OUTPUT="1000000") as (_, address):
        yield address


@pytest.fixture(scope="module")
def schema(address):
    return schemathesis.openapi.from_dict(httpx2.get(f"{address}/openapi.json").json())


def test_the_description_is_openapi_3_1_and_names_every_operation(schema):
    assert schema.raw_schema["openapi"].startswith("3.1")
    assert {each.ok().label for each in schema.get_all_operations()} == set(OPERATIONS)


@pytest.mark.parametrize("label", OPERATIONS)
def test_the_server_does_what_its_description_says(schema, address, label):
    (operation,) = (each.ok() for each in schema.get_all_operations() if each.ok().label == label)
    job = httpx2.post(
        f"{address}/v1/upscale",
        content=EXAMPLES[0].read_bytes(),
        params={"model": FAST, "scale": 0.1, "wait": 60},
    )
    known = job.headers["content-location"].split("/")[3]

    @settings(
        max_examples=OPERATIONS[label],
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    @given(case=operation.as_strategy())
    def asked(case):
        if label == "POST /v1/upscale":
            case.query["wait"] = "20"  # so that the result is checked too
        elif "{id}" in label and len(str(case.path_parameters.get("id"))) % 2:
            case.path_parameters["id"] = known
        response = case.call(base_url=address, timeout=250)
        case.validate_response(response, checks=CHECKS)

    asked()
