"""Input files and exchanges, read as canonical rows."""
