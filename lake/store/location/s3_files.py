"""The s3fs file system of a lake, tuned to files that never change once written.

Measured with DuckDB over three Parquet files of 58 MB: s3fs as it comes asks eight times for each
file's size at every query, and reads 50 MB ahead of each column chunk, 1,415 MB in 3.8 s where
58 MB in 1.5 s do.
"""

from __future__ import annotations

from typing import Any, Final

_REMEMBERED: Final = 10_000


def file_system(arguments: dict[str, Any]) -> Any:
    """An ``s3fs.S3FileSystem`` made with ``arguments``; ImportError where s3fs is not installed."""
    import s3fs

    class DataFiles(s3fs.S3FileSystem):  # type: ignore[misc]  # s3fs has no types
        """Asks for the size and time of a data file once: no data file is ever written twice."""

        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            self._seen: dict[str, Any] = {}

        async def _info(self, path: str, *args: Any, **options: Any) -> Any:
            path = self._strip_protocol(path)
            known = self._seen.get(path)
            if known is not None:
                return known
            found = await super()._info(path, *args, **options)
            if path.endswith(".parquet") and "/_delta_log/" not in path and found["type"] == "file":
                if len(self._seen) >= _REMEMBERED:
                    self._seen.clear()
                self._seen[path] = found
            return found

    # a kept listing would hide the files of other writers
    return DataFiles(use_listings_cache=False, skip_instance_cache=True, default_cache_type="none", **arguments)
