"""Scheduled work, for cron or systemd: each module is one job over public names, and logs one JSON line."""
