"""The published place of Frame2XDM."""

from rtml.nodes import Frame2XDM

__all__ = ["Frame2XDM"]
