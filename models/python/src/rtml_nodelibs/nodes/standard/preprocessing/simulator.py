"""The published place of Simulator."""

from rtml.nodes import Simulator

__all__ = ["Simulator"]
