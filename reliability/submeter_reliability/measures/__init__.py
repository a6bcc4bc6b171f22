"""One file a measure: FIGURES, MINUTES and measure(). See ``submeter_reliability.figures``."""
