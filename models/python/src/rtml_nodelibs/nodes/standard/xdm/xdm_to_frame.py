"""The published place of XDM2Frame."""

from rtml.nodes import XDM2Frame

__all__ = ["XDM2Frame"]
