"""The published place of NumpyArrays."""

from rtml.nodes import NumpyArrays

__all__ = ["NumpyArrays"]
