"""The published place of RTCPWriter."""

from rtml.nodes import RTCPWriter

__all__ = ["RTCPWriter"]
