from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

import pandas as pd
import pytest

import rtml
from rtml.features import feature_columns, iso, read_export
from rtml.samples import recent_start, shop_events, write_lines

SHOP = Path(__file__).parents[2] / "notebooks" / "shop.yaml"


def test_features_of_a_file_know_nothing_of_later_events(tmp_path: Path) -> None:
    events = shop_events(12)
    whole = rtml.features(SHOP, events=write_lines(tmp_path / "whole.jsonl", events))
    half = rtml.features(SHOP, events=write_lines(tmp_path / "half.jsonl", events[: len(events) // 2]))
    assert len(whole) == len(events)
    pd.testing.assert_frame_equal(whole.head(len(half)), half)
    middle = datetime.fromtimestamp(whole.time_ms[100] / 1000, timezone.utc)
    later = rtml.features(SHOP, middle, events=tmp_path / "whole.jsonl")
    pd.testing.assert_frame_equal(later, whole[whole.time_ms >= whole.time_ms[100]].reset_index(drop=True))
    assert feature_columns(whole) == [
        "events_1h",
        "views_1h",
        "adds_1h",
        "adds_7d",
        "purchases_7d",
        "cart_1h",
        "since_add",
        "phone",
    ]


def test_features_of_a_file_are_the_bytes_that_the_stream_serves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = shop_events(15, start=recent_start())
    offline = rtml.features(SHOP, events=write_lines(tmp_path / "events.jsonl", events))
    with rtml.Engine(SHOP, data=tmp_path / "data") as engine:
        engine.client.collect("web", events)

        def all_served() -> list[pd.DataFrame]:
            rows = rtml.features(SHOP, what="samples", engine=engine)
            return [rows] if len(rows) == len(events) else []

        (served,) = engine.wait_for(all_served)
        # Without arguments: those of the application that rtml notebook was started for.
        monkeypatch.setenv("RTML_APP", str(SHOP))
        monkeypatch.setenv("RTML_DATA_DIR", str(tmp_path / "data"))
        pd.testing.assert_frame_equal(rtml.features(what="samples"), served)
    columns = feature_columns(offline)
    assert feature_columns(served) == columns and len(columns) == 8
    of = [frame.set_index("event_id").loc[[e["id"] for e in events], columns] for frame in (offline, served)]
    assert of[0].notna().any().all()
    assert of[0].astype("float32").to_numpy().tobytes() == of[1].astype("float32").to_numpy().tobytes()


def test_labels_look_ahead_and_leave_out_what_is_not_known_yet() -> None:
    hour = 3_600_000
    frame = pd.DataFrame(
        {
            "profile": ["a", "b", "a", "a", "b", "b"],
            "time_ms": [0, 0, hour, 3 * hour, 5 * hour, 6 * hour],
            "event_type": ["view", "view", "buy", "view", "view", "view"],
        }
    )
    labelled = rtml.join_labels(frame, "event_type == 'buy'", "2h")
    # The purchase is no sample of itself; the last two rows' windows reach past the data.
    assert labelled.index.tolist() == [0, 1, 3]
    assert labelled.label.tolist() == [1, 0, 0]


def test_splits_by_time() -> None:
    frame = pd.DataFrame({"time_ms": [5, 1, 3, 2, 4], "x": range(5)})
    before, after = rtml.split_by_time(frame, at=3)
    assert (before.time_ms.tolist(), after.time_ms.tolist()) == ([1, 2], [5, 3, 4])
    train, test = rtml.split_by_time(frame, train_size=0.5)
    assert train.time_ms.max() < test.time_ms.min()


def test_reads_an_export() -> None:
    lines = '{"event_id":"b","event_ts":"2026-01-01T00:00:01.500Z","pseudonym":"p","x":1,"score.m":0.5}\n{"event_id":"a","event_ts":"2026-01-01T00:00:01Z","pseudonym":"p","x":2,"score.m":0.25}\n'
    frame = read_export(lines)
    assert frame.event_id.tolist() == ["a", "b"]
    assert (frame.time_ms.tolist(), feature_columns(frame)) == ([1767225601000, 1767225601500], ["x"])
    assert read_export("").empty


def test_times_have_a_zone() -> None:
    assert iso(datetime(2026, 1, 1, tzinfo=timezone.utc)) == "2026-01-01T00:00:00.000Z"
    assert iso(1767225600000) == "2026-01-01T00:00:00.000Z"
    with pytest.raises(ValueError, match="no time zone"):
        iso(datetime(2026, 1, 1))


def test_commands_that_fail_say_why() -> None:
    with pytest.raises(rtml.EdgeError, match="no application was named"):
        rtml.features()
    with pytest.raises(rtml.EdgeError, match="no source"):
        rtml.features(SHOP, events=SHOP, source="nowhere")
    with pytest.raises(rtml.EdgeError, match="rtml init"):
        rtml.Engine("/nowhere")
    with pytest.raises(rtml.EdgeError, match="rtml run"):
        rtml.Client("http://127.0.0.1:9").services()
