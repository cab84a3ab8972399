"""The published place of ModelUpload."""

from rtml.nodes import ModelUpload

__all__ = ["ModelUpload"]
