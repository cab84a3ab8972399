"""Made-up data for notebooks and tests: the same at every call with the same seed."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np

START = datetime(2026, 1, 5, tzinfo=timezone.utc)


def shop_events(
    customers: int = 200, *, seed: int = 7, days: float = 6, start: datetime = START
) -> list[dict[str, Any]]:
    """Raw events of a small shop in order of time. Who puts things into the cart, and shops on a desktop, tends to buy soon after."""
    draw = np.random.default_rng(seed)
    events: list[dict[str, Any]] = []
    for customer in range(customers):
        device = "phone" if draw.random() < 0.55 else "desktop"
        keenness = draw.beta(2, 3)
        for _ in range(draw.poisson(2.5) + 1):
            at = start + timedelta(days=float(draw.uniform(0, days)))
            adds = 0
            for _ in range(draw.poisson(5) + 1):
                add = draw.random() < 0.35 * keenness + 0.05
                adds += int(add)
                kind = "commerce.productListAdds" if add else "commerce.productViews"
                events.append(_event(customer, at, kind, device, draw))
                at += timedelta(seconds=float(draw.exponential(90)))
            chance = 0.04 + 0.22 * min(adds, 3) * (1.25 if device == "desktop" else 0.7)
            if draw.random() < chance:
                events.append(_event(customer, at, "commerce.purchases", device, draw))
    events.sort(key=lambda event: (event["time"], event["customer"]))
    return [{"id": f"e{seed}-{i}", **event} for i, event in enumerate(events)]


def _event(customer: int, at: datetime, kind: str, device: str, draw: np.random.Generator) -> dict[str, Any]:
    return {
        "time": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "type": kind,
        "customer": f"c{customer}",
        "device": device,
        "sku": f"sku-{int(draw.integers(0, 40))}",
        "price": round(float(draw.gamma(2.0, 20.0)), 2),
    }


def recent_start(days: float = 6) -> datetime:
    """A start for events that a running engine takes as of now: profiles that were silent for longer than events live are forgotten."""
    return datetime.now(timezone.utc) - timedelta(days=days)


def write_lines(path: str | Path, events: list[dict[str, Any]]) -> Path:
    file = Path(path)
    file.write_text("".join(json.dumps(event) + "\n" for event in events))
    return file


def car_insurance(rows: int = 1000, *, seed: int = 5) -> Any:
    """Visitors who asked for a car insurance quote: the columns of the published example, with gaps; `purchase` is yes or missing."""
    import pandas as pd

    draw = np.random.default_rng(seed)
    age = draw.integers(18, 80, rows).astype(float)
    quote = np.round(draw.gamma(9, 90, rows), 2)
    brand = draw.choice(["VW", "volkswagen", "Audi", "BMW", "Skoda", "Opel", "Fiat", "Seat", "Lada"], rows)
    chance = 1 / (1 + np.exp(0.004 * (quote - 700) - 0.02 * (age - 40) + 1.2 * (brand == "BMW")))
    frame = pd.DataFrame(
        {
            "ecid": [f"{i:038d}" for i in range(rows)],
            "km": draw.choice([5000.0, 10000.0, 15000.0, 20000.0], rows),
            "cartype": draw.choice(["sedan", "suv", "combi", "coupe"], rows),
            "age": age,
            "gender": draw.choice(["female", "male"], rows),
            "carbrand": brand,
            "leasing": draw.choice(["yes", "no", "dataLayerNull"], rows),
            "city": draw.choice(["Zurich", "Bern", "Basel", "Geneva", "Chur", "Thun", "Olten", "Zug"], rows),
            "country": draw.choice(["Switzerland", "Germany", "Austria"], rows, p=[0.8, 0.15, 0.05]),
            "nationality": draw.choice(["ch", "de", "it"], rows),
            "primaryuser": draw.choice(["yes", "no"], rows),
            "pricequote": quote,
            "timestamp": [
                (START + timedelta(minutes=int(m))).isoformat().replace("+00:00", "Z")
                for m in draw.integers(0, 20160, rows)
            ],
        }
    )
    frame["purchase"] = pd.Series(["yes" if lucky else None for lucky in draw.random(rows) < chance], dtype=object)
    for column in ("age", "gender", "carbrand", "country", "leasing"):
        frame[column] = frame[column].astype(object).where(draw.random(rows) > 0.05, None)
    frame["age"] = frame["age"].astype(float)
    return frame
