"""Reads records of `samples` with pyarrow, pandas and DuckDB and prints what each found, float32 as its bits."""

import json
import struct
import sys

import duckdb
import pyarrow as pa


def bits(value):
    return struct.unpack("<I", struct.pack("<f", value))[0]


def plain(value):
    """One cell as JSON: times as epoch milliseconds, missing as None."""
    import pandas as pd

    if value is None or value is pd.NaT or (isinstance(value, float) and value != value) or value is pd.NA:
        return None
    if hasattr(value, "timestamp"):
        return round(value.timestamp() * 1000)
    return value.item() if hasattr(value, "item") else value


def column(name, values):
    cells = [plain(value) for value in values]
    return [None if cell is None else str(int(cell)) for cell in cells] if name == "pseudonym" else cells


def float_bits(array):
    """Bits of a NumPy float32 array: going through Python's float would lose the payload of a NaN."""
    return array.view("uint32").tolist()


def read(path):
    with pa.ipc.open_stream(path) as stream:
        table = stream.read_all()
    table.validate(full=True)
    floats = {field.name for field in table.schema if field.type == pa.float32()}

    arrow = {
        name: float_bits(table.column(name).combine_chunks().to_numpy()) if name in floats else column(name, table.column(name).to_pylist())
        for name in table.column_names
    }

    frame = table.to_pandas(integer_object_nulls=True)
    pandas = {
        name: float_bits(frame[name].to_numpy()) if name in floats else column(name, frame[name].tolist())
        for name in frame.columns
    }

    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    connection.register("samples", table)
    fetched = connection.execute("SELECT * FROM samples").fetchnumpy()
    duck = {}
    for name in table.column_names:
        values = fetched[name]
        if name in floats:
            duck[name] = float_bits(values.data if hasattr(values, "mask") else values)
        elif name in ("event_ts", "processed_at"):
            duck[name] = values.astype("datetime64[ms]").astype("int64").tolist()
        else:
            duck[name] = column(name, values.tolist())

    return {
        "arrow": arrow,
        "pandas": pandas,
        "duckdb": duck,
        "types": {field.name: str(field.type) for field in table.schema},
        "metadata": {key.decode(): value.decode() for key, value in table.schema.metadata.items()},
    }


json.dump([read(path) for path in sys.argv[1:]], sys.stdout)
