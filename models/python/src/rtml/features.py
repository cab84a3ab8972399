"""Training data: the vectors that were served, with the outcomes that came later, as a pandas frame."""

from __future__ import annotations

import io
import os
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from .engine import cli
from .errors import EdgeError

META = (
    "event_id", "event_ts", "time_ms", "processed_at", "partition", "position", "pseudonym", "profile", "event_type", "feature_set",
    "kind", "label", "label_name", "settled_at", "outcome_ts", "weight",
)  # fmt: skip
"""Columns of an export that are no features, as far as it has them."""


def features(
    app: str | Path | None = None,
    from_: Any = None,
    to: Any = None,
    *,
    data: str | Path | None = None,
    what: str = "examples",
    label: str | None = None,
    engine: Any = None,
    events: str | Path | None = None,
    source: str | None = None,
) -> Any:
    """Point-in-time-correct rows of an application: what the models saw, and with `what="examples"` the joined label.

    `from_` and `to` bound the event time (ISO text, datetime or epoch milliseconds; `to` exclusive). The rows come from
    `rtml export`: the bytes that the stream wrote when it scored, through no second implementation. `data` is the embedded
    engine's directory (default `.rtml` beside the application file, or that of `engine`). Without `app` they are those of the
    running application that `rtml notebook` was started for (`RTML_APP`, `RTML_DATA_DIR`).

    `events` is a file of raw events instead: `rtml features` runs them through the mapper and the feature kernel, so that there
    is training data before anything runs; `source` names the source that reads it. Labels then come from `join_labels`.

    @raises EdgeError when there is no such application, or nothing was kept for that time
    """
    if app is None:
        app = os.environ.get("RTML_APP")
        data = data if data is not None else os.environ.get("RTML_DATA_DIR")
        if app is None:
            raise EdgeError("no application was named: give its file, or start JupyterLab with `rtml notebook`.")
    file = Path(app)
    file = file / "rtml.yaml" if file.is_dir() else file
    bounds = [("--from", from_), ("--to", to)]
    given = [part for option, value in bounds if value is not None for part in (option, iso(value))]
    if events is not None:
        named = ["--source", source] if source is not None else []
        return read_export(cli("features", str(Path(events).resolve()), "--app", str(file.resolve()), *named, *given))
    folder = (
        Path(engine.data) if engine is not None else Path(data) if data is not None else file.resolve().parent / ".rtml"
    )
    arguments = ["export", what, "--app", str(file.resolve()), "--format", "jsonl", *given]
    if label is not None:
        arguments += ["--label", label]
    text = cli(*arguments, env={"RTML_DATA_DIR": str(folder)})
    return read_export(text)


def read_export(text: str) -> Any:
    """JSON lines of `rtml export` as a frame in order of time."""
    import pandas as pd

    if not text.strip():
        return pd.DataFrame()
    frame = pd.read_json(io.StringIO(text), lines=True, convert_dates=False, dtype=False)
    if "event_ts" in frame.columns:
        frame.insert(1, "time_ms", _epoch_ms(frame["event_ts"]))
    if {"label", "value", "settled_at"} <= set(frame.columns):
        frame = frame.rename(columns={"label": "label_name", "value": "label"})
    if "pseudonym" in frame.columns:
        frame = frame.rename(columns={"pseudonym": "profile"})
    return frame.sort_values("time_ms", kind="stable", ignore_index=True) if "time_ms" in frame.columns else frame


def _epoch_ms(times: Any) -> Any:
    import pandas as pd

    return pd.to_datetime(times, format="ISO8601", utc=True).dt.as_unit("ms").astype("int64")


def join_labels(
    frame: Any,
    outcome: str,
    within: str,
    *,
    profile: str = "profile",
    time: str = "time_ms",
    until: Any = None,
    name: str = "label",
) -> Any:
    """Adds a label: 1 where the profile has a later row for which `outcome` (an expression) is true, at most `within` after.

    The outcome itself is no sample: its row would be its own label. Rows whose window reaches past `until` (default: the last row)
    are dropped: what they lead to isn't known yet. `within` is 30m, 24h, 7d.
    """
    import pandas as pd

    window = pd.Timedelta(within).total_seconds() * 1000
    end = float(frame[time].max()) if until is None else pd.Timestamp(iso(until)).timestamp() * 1000
    hits = frame.query(outcome)
    times = {key: group[time].sort_values().to_numpy() for key, group in hits.groupby(profile)}
    labels = []
    for key, at in zip(frame[profile], frame[time], strict=True):
        known = times.get(key)
        after = known[(known > at) & (known <= at + window)] if known is not None else ()
        labels.append(int(len(after) > 0))
    labelled = frame.assign(**{name: labels})
    return labelled[(labelled[time] + window <= end) & ~labelled.index.isin(hits.index)]


def feature_columns(frame: Any) -> list[str]:
    """The columns of an export that are features: neither about the row, nor scores, nor ages."""
    return [
        name
        for name in frame.columns
        if name not in META and not name.startswith(("score.", "version.", "role.", "fallback.", "label.", "age."))
    ]


def split_by_time(frame: Any, *, at: Any = None, train_size: float = 0.75, column: str = "time_ms") -> tuple[Any, Any]:
    """Rows before an instant, and from it on. Without `at`, the instant before which `train_size` of the rows lie.

    A split by time is the only honest one here: a random one lets the model learn from a visitor's future.
    """
    import pandas as pd

    times = frame[column]
    if not pd.api.types.is_numeric_dtype(times):
        times = _epoch_ms(times)
    cut = (
        float(times.quantile(train_size))
        if at is None
        else datetime.fromisoformat(iso(at).replace("Z", "+00:00")).timestamp() * 1000
    )
    return frame[times < cut], frame[times >= cut]


def iso(value: Any) -> str:
    """@raises ValueError for a datetime without a zone: it would mean another instant on another machine"""
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError(f"{value!r} has no time zone; add tzinfo=timezone.utc")
        return value.astimezone(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if isinstance(value, (int, float)):
        return iso(datetime.fromtimestamp(value / 1000, timezone.utc))
    return str(value)
