"""The published place of Pandas."""

from rtml.nodes import Pandas

__all__ = ["Pandas"]
