"""HTTP to a running engine: deploy a bundle, predict, list and delete services, read profiles. docs/edge.md."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlencode
from urllib.request import Request, urlopen

from .bundle import Bundle
from .errors import EdgeError
from .frame import records

DEFAULT_URL = "http://127.0.0.1:8080"
MAX_BATCH = 500


class Client:
    """`url` and `key` come from `RTML_URL` and `RTML_API_KEY` where they aren't given."""

    def __init__(self, url: str | None = None, key: str | None = None, *, timeout_s: float = 30) -> None:
        self.url = (url or os.environ.get("RTML_URL") or DEFAULT_URL).rstrip("/")
        self.key = key or os.environ.get("RTML_API_KEY")
        self.timeout_s = timeout_s

    def call(self, method: str, path: str, body: Any = None, *, content_type: str = "application/json") -> Any:
        """@raises EdgeError with the problem that the engine reports, or when it doesn't answer"""
        content = body if isinstance(body, bytes) or body is None else json.dumps(body, allow_nan=False).encode()
        headers = {"accept": "application/json", **({"content-type": content_type} if content is not None else {})}
        if self.key:
            headers["authorization"] = f"Bearer {self.key}"
        request = Request(f"{self.url}{path}", data=content, method=method, headers=headers)
        for attempt in range(3):
            try:
                with urlopen(request, timeout=self.timeout_s) as answer:
                    text = answer.read()
                    return json.loads(text) if text else None
            except HTTPError as error:
                if error.code in (429, 503) and attempt < 2:
                    time.sleep(min(2.0, float(error.headers.get("retry-after") or 0.5)))
                    continue
                raise EdgeError(f"{method} {path}: {_problem(error)}", error.code) from None
            except (URLError, OSError) as error:
                reason = getattr(error, "reason", error)
                raise EdgeError(
                    f"no engine answers at {self.url} ({reason}). Start one (`rtml run`, or rtml.Engine in a notebook), or set RTML_URL."
                ) from None
        raise EdgeError(f"{method} {path}: no answer after three attempts", 503)

    def push(
        self, bundle: Bundle | bytes | str | Path, *, service: str | None = None, targets: Sequence[str] | None = None
    ) -> dict[str, Any]:
        """Deploys a bundle; returns when the service has answered the bundle's own tests. `targets`: hub, edge; default both."""
        content = (
            bundle.content
            if isinstance(bundle, Bundle)
            else bundle
            if isinstance(bundle, bytes)
            else Path(bundle).read_bytes()
        )
        query = {**({"service": service} if service else {}), **({"targets": ",".join(targets)} if targets else {})}
        path = "/v1/bundles" + (f"?{urlencode(query)}" if query else "")
        answer: dict[str, Any] = self.call("POST", path, content, content_type="application/zip")
        return answer

    def predict(self, service: str, body: Any) -> Any:
        """The answer of POST /v1/predict/<service> as it is."""
        return self.call("POST", f"/v1/predict/{quote(service, safe='')}", body)

    def score(self, service: str, data: Any) -> Any:
        """Output columns for a pandas frame, records or `{column: {row: value}}`, as a pandas frame in the order of the rows."""
        import pandas as pd

        rows = records(data)
        outputs: list[dict[str, Any]] = []
        for start in range(0, len(rows), MAX_BATCH):
            answer = self.predict(service, {"records": [{"record": row} for row in rows[start : start + MAX_BATCH]]})
            outputs += [_output_of(one) for one in answer["predictions"]]
        return pd.DataFrame(outputs)

    def services(self) -> list[dict[str, Any]]:
        answer = self.call("GET", "/v1/services")
        return list(answer["services"] if isinstance(answer, Mapping) else answer)

    def service(self, name: str) -> dict[str, Any]:
        answer: dict[str, Any] = self.call("GET", f"/v1/services/{quote(name, safe='')}")
        return answer

    def delete(self, service: str) -> bool:
        """Whether there was such a service."""
        try:
            self.call("DELETE", f"/v1/services/{quote(service, safe='')}")
        except EdgeError as error:
            if error.status == 404:
                return False
            raise
        return True

    def profile(self, namespace: str, profile_id: str) -> dict[str, Any]:
        """`{"features": …, "scores": …, "segments": …}` of a profile; empty where it is unknown."""
        try:
            answer = self.call("GET", f"/v1/profiles/{quote(namespace, safe='')}/{quote(profile_id, safe='')}")
        except EdgeError as error:
            if error.status == 404:
                return {}
            raise
        features = answer.get("features") or {}
        if isinstance(features, list):
            features = {one["name"]: one for one in features}
        return {
            **answer,
            "features": {name: one.get("value") if isinstance(one, Mapping) else one for name, one in features.items()},
        }

    def collect(self, source: str, events: Sequence[Any]) -> Any:
        """Appends raw records to a source's topic; returns when the log has them. At most 1,000 a call are taken: it calls again."""
        answer = None
        for start in range(0, len(events), 1000):
            lines = "".join(json.dumps(event) + "\n" for event in events[start : start + 1000]).encode()
            answer = self.call("POST", f"/collect/{quote(source, safe='')}", lines, content_type="application/x-ndjson")
        return answer


def _output_of(prediction: Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(prediction.get("output"), Mapping):
        return dict(prediction["output"])
    scores = prediction.get("scores") or prediction
    return dict(scores) if isinstance(scores, Mapping) else {"score": prediction.get("score")}


def _problem(error: HTTPError) -> str:
    try:
        body = json.loads(error.read())
    except (ValueError, OSError):
        return f"{error.code} {error.reason}"
    parts = [str(body.get("title") or error.reason), str(body.get("detail") or "")]
    for one in ((body.get("report") or {}).get("errors") or [])[:5]:
        parts.append(str(one.get("detail") or one.get("title") or one) if isinstance(one, Mapping) else str(one))
    return f"{error.code} " + ". ".join(part.rstrip(".") for part in dict.fromkeys(parts) if part) + "."
