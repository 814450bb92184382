"""What bots kept elsewhere, moved into the lake: read, mapped by declared rules, merged by key, and accounted for."""
