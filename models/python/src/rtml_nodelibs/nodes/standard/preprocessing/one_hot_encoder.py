"""The published place of OneHotEncoder."""

from rtml.nodes import OneHotEncoder

__all__ = ["OneHotEncoder"]
