"""What a lake tells about itself: the daily report, and its health."""
