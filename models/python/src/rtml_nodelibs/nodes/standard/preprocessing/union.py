"""The published place of Union."""

from rtml.nodes import Union

__all__ = ["Union"]
