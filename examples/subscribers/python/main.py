"""Follows profile.scores and prints every profile that changes, one JSON line each."""

import json
import os
import signal
import sys
from datetime import datetime

from confluent_kafka import Consumer, KafkaException

from decode import ScoresReader, registry
from enrich import enrich

# Beyond this the profile that changed longest ago is dropped: put a database here when you need all of them.
MAX_PROFILES = 1_000_000


def main() -> int:
    brokers, registry_url = os.environ.get("KAFKA_BROKERS"), os.environ.get("SCHEMA_REGISTRY_URL")
    if not brokers or not registry_url:
        print("Set KAFKA_BROKERS (host:port, with commas) and SCHEMA_REGISTRY_URL.", file=sys.stderr)
        return 2
    decode = ScoresReader(registry(registry_url))
    profiles: dict[str, dict] = {}
    stopping = []
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: stopping.append(True))

    consumer = Consumer(
        {
            "bootstrap.servers": brokers,
            "group.id": os.environ.get("GROUP", "example-subscriber-py"),
            "auto.offset.reset": "earliest",
            # The dictionary lives in memory, so a restart must read from the start again. With a database: commit.
            "enable.auto.commit": False,
            # What an aborted transaction wrote is never seen.
            "isolation.level": "read_committed",
        }
    )
    consumer.subscribe([os.environ.get("TOPIC", "profile.scores")])
    try:
        while not stopping:
            message = consumer.poll(0.5)
            if message is None:
                continue
            if message.error():
                raise KafkaException(message.error())
            key = (message.key() or b"").decode()
            known = profiles.pop(key, None)
            if message.value() is None:
                print(json.dumps({"id": key, "erased": True}), flush=True)
                continue
            profiles[key] = enrich(known, decode(message.value()))
            if len(profiles) > MAX_PROFILES:
                profiles.pop(next(iter(profiles)))
            print(json.dumps(profiles[key], default=to_json), flush=True)
    finally:
        consumer.close()
    return 0


def to_json(value):
    """Avro's timestamps are datetimes here."""
    if isinstance(value, datetime):
        return round(value.timestamp() * 1000)
    raise TypeError(type(value))


if __name__ == "__main__":
    sys.exit(main())
