"""Delta tables: their log, their files, and what a write does to them."""
