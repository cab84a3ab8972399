"""The published place of NodeFactory."""

from __future__ import annotations

from rtml.nodes import REGISTRY, Node


class NodeFactory:
    """Which nodes there are, by name."""

    @staticmethod
    def discover_nodes() -> dict[str, str]:
        """Node name to import path, in alphabetical order."""
        return {name: f"{node.module}.{name}" for name, node in sorted(REGISTRY.items()) if node.module}

    @staticmethod
    def get_node(name: str) -> type[Node]:
        return REGISTRY[name.rpartition(".")[2]]
