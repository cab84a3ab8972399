"""The published place of Split."""

from rtml.nodes import Split

__all__ = ["Split"]
