"""Confluent-framed Avro: 0x00, schema id (4 bytes, big-endian), Avro bytes."""

import io
import json
import struct
import urllib.request

import fastavro


class ScoresReader:
    """Decodes values of profile.scores; asks for each writer's schema once."""

    def __init__(self, schema_of):
        self._schema_of = schema_of
        self._schemas = {}

    def __call__(self, value: bytes) -> dict:
        if len(value) < 5 or value[0] != 0:
            raise ValueError("not a Confluent-framed record: the first byte is not 0")
        (schema_id,) = struct.unpack(">I", value[1:5])
        if schema_id not in self._schemas:
            self._schemas[schema_id] = fastavro.parse_schema(self._schema_of(schema_id))
        return fastavro.schemaless_reader(io.BytesIO(value[5:]), self._schemas[schema_id], None)


def registry(url: str):
    """A function from schema id to schema, over the registry's REST API."""

    def schema_of(schema_id: int) -> dict:
        with urllib.request.urlopen(f"{url.rstrip('/')}/schemas/ids/{schema_id}", timeout=10) as response:
            return json.loads(json.load(response)["schema"])

    return schema_of
