"""The published place of EdgeUtils: publishes, scores, lists and deletes services of a running rtml (`RTML_URL`)."""

from __future__ import annotations

import json
import uuid
from typing import Any

from rtml.client import Client
from rtml.graph import Graph
from rtml.nodes import JsonToDataframe


class EdgeUtils:
    """`url` and `key` come from `RTML_URL` and `RTML_API_KEY` where they aren't given."""

    def __init__(self, url: str | None = None, key: str | None = None) -> None:
        self._url, self._key = url, key

    @property
    def client(self) -> Client:
        return Client(self._url, self._key)

    def publish_to_edge(self, dsl: str) -> tuple[str, str]:
        """(edge_location, service_id). The service answers when this returns: it has passed its bundle's own tests."""
        service_id = _service_id()
        return self._deploy(dsl, service_id), service_id

    def update_deployment(self, dsl: str, service_id: str) -> tuple[str, str, str]:
        """(edge_location, service_id, updated_dsl): a new version of the service."""
        return self._deploy(dsl, service_id), service_id, dsl if isinstance(dsl, str) else json.dumps(dsl)

    def _deploy(self, dsl: str, service_id: str) -> str:
        graph = Graph.from_dsl(dsl, service_id)
        client = self.client
        # The edge alone: a published graph reads what its request has, whatever the application's features are.
        graph.deploy(tests=_tests(graph), service=service_id, deploy="edge", client=client)
        return client.url

    def score_edge(self, edge_location: str, service_id: str, scoring_data: Any) -> dict[str, dict[int, Any]]:
        """Scores `{column: {row: value}}` (or a frame, or records) and gives the outputs in the same form."""
        client = Client(edge_location, self._key)
        print(f"Edge URL: {client.url}/v1/predict/{service_id}")
        print(f"Payload: {scoring_data}")
        scored: dict[str, dict[int, Any]] = client.score(service_id, scoring_data).to_dict()
        return scored

    def list_deployed_services(self) -> list[dict[str, Any]]:
        """`[{created, deprecated, id, type, updated}]`, times in ISO 8601; without those that were deleted."""
        client = self.client
        found = []
        for service in client.services():
            if service.get("deprecated"):
                continue
            detail = client.service(service["id"])
            times = [one["at"] for one in (*detail.get("history", []), *detail.get("versions", []))]
            found.append(
                {
                    "created": min(times, default=None),
                    "deprecated": False,
                    "id": service["id"],
                    "type": "edge",
                    "updated": max(times, default=None),
                }
            )
        return found

    def delete_from_edge(self, service_id: str) -> bool:
        """Whether there was such a service."""
        return self.client.delete(service_id)


def _service_id() -> str:
    """A random UUID that begins with a letter, as names of services do."""
    while True:
        made = str(uuid.uuid4())
        if made[0].isalpha():
            return made


def _tests(graph: Graph) -> list[dict[str, Any]]:
    """The rows of the DSL's own payload; without one, a row of the inputs' defaults or plain values."""
    for node in graph.nodes:
        if isinstance(node, JsonToDataframe):
            return graph.questions(node.process().data)
    plain: dict[str, Any] = {"string": "", "bool": False, "int64": 0, "float32": 0.0, "float64": 0.0}
    return [{"record": {column["name"]: column.get("default", plain[column["type"]]) for column in graph.plan.inputs}}]
