"""Data sets that never look ahead: built from the lake at one version, made again byte for byte, audited."""

from lake.learn.datasets.audit import Audit
from lake.learn.datasets.dataset import Dataset
from lake.learn.datasets.datasets import Datasets
from lake.learn.datasets.manifest import Manifest
from lake.learn.datasets.request import Request

__all__ = ["Audit", "Dataset", "Datasets", "Manifest", "Request"]
