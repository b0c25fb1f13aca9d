"""Keys and what derives from them."""
