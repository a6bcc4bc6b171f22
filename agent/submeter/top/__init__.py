"""The live view in a terminal (``submeter top``): an agent's snapshots in, a screen out."""
