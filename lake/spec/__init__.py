"""What a dataset is, and how its rows are made canonical. No input or output happens here."""
