"""How stores are opened and read: read-only, batch by batch, in bounded memory."""
