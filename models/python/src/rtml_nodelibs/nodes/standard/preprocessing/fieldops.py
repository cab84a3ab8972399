"""The published place of FieldOps."""

from rtml.nodes import FieldOps

__all__ = ["FieldOps"]
