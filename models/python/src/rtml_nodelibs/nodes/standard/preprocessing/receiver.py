"""The published place of Receiver."""

from rtml.nodes import Receiver

__all__ = ["Receiver"]
