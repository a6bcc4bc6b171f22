"""Doubles and builders that are part of the product: for our tests and for those of plug-ins."""
