"""Deposits: organisations give records back, people take them in."""
