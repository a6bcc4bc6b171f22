"""Clients that mean no good, and those who mean well beside them."""
