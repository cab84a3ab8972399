"""The published place of GraphBuilder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rtml.graph import Graph, dsl_of
from rtml.nodes import Node


class GraphBuilder:
    """Writes nodes and edges as a DSL."""

    @staticmethod
    def generate_dsl(nodes: Sequence[Node], edges: Sequence[tuple[Any, ...]]) -> str:
        """JSON text `{"edge": {"applicationDsl": {"nodes": […], "edges": […]}}}`, of a graph that was checked.

        @raises NodeError, GraphError, ModelError naming the node and port at fault
        """
        graph = Graph("dsl", nodes, edges)
        return dsl_of(nodes, graph.edges)
