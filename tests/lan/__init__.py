"""Devices of one network."""
