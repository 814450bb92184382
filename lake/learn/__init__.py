"""Learning from what the lake holds: labels, features, data sets, models, and honest comparison."""
