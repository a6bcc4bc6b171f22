"""Exporters that come with submeter: one file each, found by module name."""
