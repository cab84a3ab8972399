"""The published place of Filter."""

from rtml.nodes import Filter

__all__ = ["Filter"]
