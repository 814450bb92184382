"""The writers' vocabulary: what a bot calls, in the field's own words."""
