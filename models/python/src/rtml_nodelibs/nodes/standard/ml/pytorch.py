"""The published place of PyTorch."""

from rtml.nodes import PyTorch

__all__ = ["PyTorch"]
