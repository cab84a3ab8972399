"""The published place of Join."""

from rtml.nodes import Join

__all__ = ["Join"]
