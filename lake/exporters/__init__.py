"""The way out: datasets, views and queries as Parquet, CSV, JSON lines, tables, and the folders that bots read."""

from lake.exporters.base import ExportReport, Selection, Target
from lake.exporters.run import FORMATS, Progress, export

__all__ = ["FORMATS", "ExportReport", "Progress", "Selection", "Target", "export"]
