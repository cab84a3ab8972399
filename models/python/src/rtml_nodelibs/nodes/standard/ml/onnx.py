"""The published place of ONNXNode."""

from rtml.nodes import ONNXNode

__all__ = ["ONNXNode"]
