"""The published place of Processor."""

from rtml.nodes import Processor

__all__ = ["Processor"]
