"""The published place of JsonToDataframe."""

from rtml.nodes import JsonToDataframe

__all__ = ["JsonToDataframe"]
