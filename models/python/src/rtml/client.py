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

from .bundle import Bundle, open_bundle
from .errors import EdgeError
from .frame import records

DEFAULT_URL = "http://127.0.0.1:8080"
MAX_BATCH = 500
ATTEMPTS = 4


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
        self,
        bundle: Bundle | bytes | str | Path,
        *,
        service: str | None = None,
        deploy: str = "both",
        role: str = "champion",
        why: str | None = None,
    ) -> dict[str, Any]:
        """Makes a bundle the next version of a service (default: the graph's name); the engine replays its tests first.

        `deploy` says where it runs: hub (the stream), edge, or both. `role`: champion, challenger, shadow or none.
        """
        content = bundle.content if isinstance(bundle, Bundle) else bundle if isinstance(bundle, bytes) else None
        if content is None:
            content = Path(str(bundle)).read_bytes()
        if service is None:
            service = open_bundle(content)[0].document["name"]
        query = {
            "role": role,
            "origin": "bundle",
            "manifest": json.dumps({"deploy": deploy}),
            **({"why": why} if why else {}),
        }
        path = f"/v1/services/{quote(service, safe='')}/versions?{urlencode(query)}"
        answer: dict[str, Any] = self.call("POST", path, content, content_type="application/octet-stream")
        return answer

    def predict(self, service: str, body: Any) -> Any:
        """The answer of POST /v1/predict/<service> as it is."""
        return self.call("POST", f"/v1/predict/{quote(service, safe='')}", body)

    def score(self, service: str, data: Any) -> Any:
        """Answers for a pandas frame, records or `{column: {row: value}}`, as a pandas frame in the order of the rows.

        A column each output, `score` among them; a row without an answer is empty.
        """
        import pandas as pd

        rows = records(data)
        outputs: list[dict[str, Any]] = [{"score": None} for _ in rows]
        waiting = list(range(len(rows)))
        # A row without a score was filtered, or the engine was too busy for its deadline: asking again changes nothing there.
        for attempt in range(ATTEMPTS):
            time.sleep(attempt * 0.2)
            late = []
            for start in range(0, len(waiting), MAX_BATCH):
                part = waiting[start : start + MAX_BATCH]
                answer = self.predict(service, frame_of([rows[i] for i in part]))
                for i, one in zip(part, answer["predictions"], strict=True):
                    outputs[i] = _output_of(one)
                    if one.get("score") is None:
                        late.append(i)
            waiting = late
            if not waiting:
                break
        return pd.DataFrame(outputs)

    def wait_until_served(self, service: str, version: str | None = None, *, timeout_s: float = 30) -> None:
        """Returns when the edge answers for the service, with that version. @raises EdgeError after `timeout_s`"""
        deadline = time.monotonic() + timeout_s
        while True:
            names = [one for one in self.services() if one["id"] == service]
            models = [model for one in names for model in one.get("models", [])]
            if models and (version is None or any(str(model.get("version")) == str(version) for model in models)):
                return
            if time.monotonic() > deadline:
                raise EdgeError(f"{service} is not served after {timeout_s:g} s: {json.dumps(names)[:300]}")
            time.sleep(0.05)

    def services(self) -> list[dict[str, Any]]:
        answer = self.call("GET", "/v1/services")
        return list(answer["services"] if isinstance(answer, Mapping) else answer)

    def service(self, name: str) -> dict[str, Any]:
        answer: dict[str, Any] = self.call("GET", f"/v1/services/{quote(name, safe='')}")
        return answer

    def delete(self, service: str) -> bool:
        """Switches a service off; its versions stay in the registry. Whether there was such a service."""
        try:
            self.call("POST", f"/v1/services/{quote(service, safe='')}/disable", {"why": "deleted by its author"})
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
        features = {one["column"]: one["value"] for one in answer.get("features") or []}
        last = (answer.get("lastScores") or {}).get("scores") or []
        return {**answer, "features": features, "scores": {one["model"]: one["score"] for one in last}}

    def collect(self, source: str, events: Sequence[Any]) -> Any:
        """Appends raw records to a source's topic; returns when the log has them. At most 1,000 a call are taken: it calls again."""
        answer = None
        for start in range(0, len(events), 1000):
            lines = "".join(json.dumps(event) + "\n" for event in events[start : start + 1000]).encode()
            answer = self.call("POST", f"/collect/{quote(source, safe='')}", lines, content_type="application/x-ndjson")
        return answer


def frame_of(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Records as `{column: {row: value}}`, row numbers as texts."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    return {name: {str(i): row.get(name) for i, row in enumerate(rows)} for name in names}


def _output_of(prediction: Mapping[str, Any]) -> dict[str, Any]:
    return {**(prediction.get("outputs") or {}), "score": prediction.get("score")}


def _problem(error: HTTPError) -> str:
    try:
        body = json.loads(error.read())
    except (ValueError, OSError):
        return f"{error.code} {error.reason}"
    parts = [str(body.get("title") or error.reason), str(body.get("detail") or "")]
    for one in ((body.get("report") or {}).get("errors") or [])[:5]:
        parts.append(str(one.get("detail") or one.get("title") or one) if isinstance(one, Mapping) else str(one))
    return f"{error.code} " + ". ".join(part.rstrip(".") for part in dict.fromkeys(parts) if part) + "."
