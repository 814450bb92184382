"""One writer's log: SQLite with group commit, a spool beside it, and the copy that readers keep."""
