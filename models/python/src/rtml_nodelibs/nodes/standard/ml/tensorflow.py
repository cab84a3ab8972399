"""The published place of TensorFlow."""

from rtml.nodes import TensorFlow

__all__ = ["TensorFlow"]
