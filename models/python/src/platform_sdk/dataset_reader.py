"""DatasetReader: a data set is a file (CSV, JSON lines, Parquet), named by its path or found in `RTML_DATASETS`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any


class DatasetReader:
    """`DatasetReader(context, dataset_id="orders").limit(100).read()`; `context` is accepted and not used."""

    def __init__(self, client_context: Any = None, dataset_id: str | None = None, **_: Any) -> None:
        self.dataset_id = dataset_id if dataset_id is not None else str(client_context)
        self._limit: int | None = None
        self._offset = 0

    def limit(self, rows: int) -> DatasetReader:
        self._limit = rows
        return self

    def offset(self, rows: int) -> DatasetReader:
        self._offset = rows
        return self

    def read(self, limit: int | None = None) -> Any:
        """@raises FileNotFoundError saying where it looked"""
        import pandas as pd

        folders = [Path(), Path(os.environ.get("RTML_DATASETS", "."))]
        names = [self.dataset_id, *(f"{self.dataset_id}{end}" for end in (".csv", ".jsonl", ".parquet"))]
        for path in (folder / name for folder in folders for name in names):
            if path.is_file():
                read = {".csv": pd.read_csv, ".parquet": pd.read_parquet}.get(
                    path.suffix, lambda p: pd.read_json(p, lines=True)
                )
                end = limit if limit is not None else self._limit
                return read(path).iloc[self._offset :][:end]
        where = " or ".join(str(folder.resolve()) for folder in dict.fromkeys(folders))
        raise FileNotFoundError(
            f"there is no data set {self.dataset_id!r} in {where}; give a path, or set RTML_DATASETS."
        )
