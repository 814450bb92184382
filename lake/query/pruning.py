def bounds(c,s,p): return {}
