"""submeter: the electricity submeter for GPUs."""

__version__ = "0.1.0"
