"""Splitters for rows whose labels take time, in scikit-learn's words; see :mod:`lake.learn.splits`."""

from lake.learn.splits import CombinatorialPurged, WalkForward

__all__ = ["CombinatorialPurged", "WalkForward"]
