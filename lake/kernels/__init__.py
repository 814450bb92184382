"""Calculations: frames in, frames out, no files."""
