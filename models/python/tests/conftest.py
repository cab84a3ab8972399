from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(autouse=True, scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A model store of the tests' own."""
    folder = tmp_path_factory.mktemp("store")
    os.environ["RTML_MODEL_STORE"] = str(folder)
    yield folder
    del os.environ["RTML_MODEL_STORE"]
