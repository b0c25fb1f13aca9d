"""The formats on the wire and the page that documents them."""
