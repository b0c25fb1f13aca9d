"""Golden vectors, and the programs that print them."""
