"""From devices to measurements: what is read of a GPU, how often, and by whom it was held."""
