"""Errors of authoring. Each names the node and, where one is at fault, the port or column, and says what to do."""

from __future__ import annotations


class RtmlError(Exception):
    """Any refusal of this package."""


class NodeError(RtmlError):
    """A node can't do what it was asked to. `code` is stable; the text is for people."""

    def __init__(self, code: str, node: str, message: str, *, port: str | None = None) -> None:
        self.code = code
        self.node = node
        self.port = port
        place = f'node "{node}"' + (f', port "{port}"' if port else "")
        super().__init__(f"{code} {place}: {message}")


class GraphError(NodeError):
    """The graph as a whole is at fault; `node` is the first node to look at."""


class ModelError(NodeError):
    """An ONNX file that the runtime would refuse."""


class EdgeError(RtmlError):
    """The running engine refused a call, or didn't answer. `status` is None when it didn't answer."""

    def __init__(self, message: str, status: int | None = None) -> None:
        self.status = status
        super().__init__(message)
