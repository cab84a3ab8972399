"""The published place of Custom."""

from rtml.nodes import Custom

__all__ = ["Custom"]
