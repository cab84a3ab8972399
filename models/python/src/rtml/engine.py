"""The program itself, from a notebook: runs `rtml` commands, and an engine for as long as a `with` block lasts."""

from __future__ import annotations

import atexit
import os
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

from .client import Client
from .errors import EdgeError


def command() -> list[str]:
    """How to call the command line: `RTML_CLI`, else the checkout that this package or the current folder is in, else `rtml`.

    @raises EdgeError when there is none
    """
    given = os.environ.get("RTML_CLI")
    if given:
        return shlex.split(given)
    node = os.environ.get("RTML_NODE") or shutil.which("node")
    for start in (Path.cwd(), Path(__file__).resolve()):
        for folder in (start, *start.parents):
            if node and (folder / "bin" / "rtml.js").is_file():
                return [node, str(folder / "bin" / "rtml.js")]
    found = shutil.which("rtml")
    if found:
        return [found]
    raise EdgeError(
        "the command `rtml` was not found: install it (npm i -g rtml), or set RTML_CLI, for example to 'npx rtml'."
    )


def cli(*arguments: str, timeout_s: float = 300, env: dict[str, str] | None = None) -> str:
    """Standard output of a command. @raises EdgeError with its standard error when it fails"""
    done = subprocess.run(
        [*command(), *arguments],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
        env={**os.environ, **(env or {})},
    )
    if done.returncode != 0:
        raise EdgeError(f"rtml {arguments[0]} failed: {done.stderr.strip()[-2000:]}")
    return done.stdout


class Engine:
    """An application running on the embedded engine: `with Engine("shop/rtml.yaml") as engine: …`.

    `data` is its directory (default: a new one that is deleted at the end). `engine.client` talks to it, and while it runs
    `RTML_URL` points to it, so that the published names find it too.
    """

    def __init__(
        self,
        app: str | Path,
        *,
        data: str | Path | None = None,
        port: int = 0,
        env: dict[str, str] | None = None,
        timeout_s: float = 60,
    ) -> None:
        self.app = Path(app).resolve()
        if self.app.is_dir():
            self.app = self.app / "rtml.yaml"
        if not self.app.is_file():
            raise EdgeError(f"there is no application file {self.app}; make one with `rtml init`.")
        self._own = tempfile.TemporaryDirectory(prefix="rtml-engine-") if data is None else None
        self.data = Path(self._own.name) if self._own else Path(str(data)).resolve()
        self.port = port or _free_port()
        self.timeout_s = timeout_s
        self.client = Client(f"http://127.0.0.1:{self.port}")
        self._env = env or {}
        self._process: subprocess.Popen[bytes] | None = None
        self._before: str | None = None

    @property
    def url(self) -> str:
        return self.client.url

    def start(self) -> Engine:
        log = self.data / "engine.log"
        self.data.mkdir(parents=True, exist_ok=True)
        arguments = ["run", "--app", str(self.app), "--data", str(self.data), "--port", str(self.port)]
        with log.open("wb") as out:
            self._process = subprocess.Popen(
                [*command(), *arguments], stdout=out, stderr=out, cwd=self.app.parent, env={**os.environ, **self._env}
            )
        deadline = time.monotonic() + self.timeout_s
        while not self._ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                tail = log.read_text(errors="replace")[-2000:]
                self.stop()
                raise EdgeError(f"the engine did not start: {tail}")
            time.sleep(0.1)
        self._before = os.environ.get("RTML_URL")
        os.environ["RTML_URL"] = self.url
        # A notebook that ends on an error has no `with` to leave.
        atexit.register(self.stop)
        return self

    def _ready(self) -> bool:
        try:
            with urlopen(f"{self.url}/readyz", timeout=2) as answer:
                return bool(answer.status == 200)
        except (URLError, OSError):
            return False

    def stop(self) -> None:
        """SIGTERM, so that the engine finishes what it took in; an own directory is deleted."""
        atexit.unregister(self.stop)
        if self._process is not None:
            if self._process.poll() is None:
                self._process.send_signal(signal.SIGTERM)
                try:
                    self._process.wait(timeout=30)
                except subprocess.TimeoutExpired:
                    self._process.kill()
                    self._process.wait()
            self._process = None
            if os.environ.get("RTML_URL") == self.url:
                if self._before is None:
                    del os.environ["RTML_URL"]
                else:
                    os.environ["RTML_URL"] = self._before
        if self._own is not None:
            self._own.cleanup()
            self._own = None

    def cli(self, *arguments: str, timeout_s: float = 300) -> str:
        """A command beside the running engine, on its application and data: `engine.cli("topics", "--json")`."""
        return cli(
            arguments[0],
            "--app",
            str(self.app),
            *arguments[1:],
            timeout_s=timeout_s,
            env={"RTML_DATA_DIR": str(self.data)},
        )

    def replay(self, file: str | Path, source: str) -> str:
        """Appends the raw events of a file to a source."""
        return self.cli("replay", str(file), "--source", source)

    def wait_for(self, what: Any, *, timeout_s: float = 30) -> Any:
        """Calls `what` until it gives something true, and returns that. @raises EdgeError after `timeout_s`"""
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                found = what()
            except EdgeError as error:
                found, last = None, str(error)
            else:
                last = repr(found)
            if found:
                return found
            if time.monotonic() > deadline:
                raise EdgeError(f"waited {timeout_s:g} s in vain; the last answer was {last[:500]}")
            time.sleep(0.1)

    def __enter__(self) -> Engine:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
