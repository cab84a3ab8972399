"""Feeds a recorded topic to the example subscriber's own functions and prints the profiles that it ends with."""

import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[3] / "examples/subscribers/python"))

from decode import ScoresReader  # noqa: E402
from enrich import enrich  # noqa: E402
from main import to_json  # noqa: E402


def run(topic_file):
    topic = json.loads(pathlib.Path(topic_file).read_text())
    decode = ScoresReader(lambda schema_id: topic["schemas"][str(schema_id)])
    profiles = {}
    for key, value in topic["records"]:
        if value is None:
            profiles.pop(key, None)
        else:
            profiles[key] = enrich(profiles.get(key), decode(bytes.fromhex(value)))
    json.dump(profiles, sys.stdout, default=to_json)


run(sys.argv[1])
