"""The published place of FieldTrans."""

from rtml.nodes import FieldTrans

__all__ = ["FieldTrans"]
