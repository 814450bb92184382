"""One module per kind of store: what its tables are called, and what their columns mean here."""
