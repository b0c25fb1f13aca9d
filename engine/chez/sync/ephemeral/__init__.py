"""What devices say to each other in a space just now, and nobody keeps."""
