"""DuckDB over one snapshot: the only place where SQL is run."""
