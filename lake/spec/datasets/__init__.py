"""One file for each dataset; the registry finds them."""
