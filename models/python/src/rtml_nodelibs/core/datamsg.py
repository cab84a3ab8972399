"""The published place of DataMsg."""

from rtml.nodes import DataMsg

__all__ = ["DataMsg"]
