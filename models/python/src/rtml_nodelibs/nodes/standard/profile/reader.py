"""The published place of RTCPReader."""

from rtml.nodes import RTCPReader

__all__ = ["RTCPReader"]
