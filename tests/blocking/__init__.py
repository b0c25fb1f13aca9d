"""Tests of the SDK without an event loop."""
