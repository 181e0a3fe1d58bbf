"""Rill's numbers, measured against the server of the tutorials."""
