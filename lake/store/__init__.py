"""Where bytes live, and how they move from hot to cold."""
