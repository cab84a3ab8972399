"""The published place of ScikitLearn."""

from rtml.nodes import ScikitLearn

__all__ = ["ScikitLearn"]
