"""Reads a Parquet export with pyarrow and pandas and prints its types, its rows and its notes."""

import json
import sys

import pandas as pd
import pyarrow.parquet as pq

path = sys.argv[1]
table = pq.read_table(path)
frame = pd.read_parquet(path)


def cell(value):
    if value is None or value is pd.NaT or (isinstance(value, float) and value != value):
        return None
    return value.isoformat() if hasattr(value, "isoformat") else value


notes = {key.decode(): value.decode() for key, value in (table.schema.metadata or {}).items()}
print(
    json.dumps(
        {
            "types": {field.name: str(field.type) for field in table.schema},
            "rows": [{name: cell(value) for name, value in row.items()} for row in table.to_pylist()],
            "frame": [len(frame), list(frame.columns)],
            "groups": pq.ParquetFile(path).num_row_groups,
            "notes": {key: value for key, value in notes.items() if key.startswith("rtml.")},
        }
    )
)
