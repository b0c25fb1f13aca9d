"""The encrypted SQLite file of a home, and the key file that opens it."""
