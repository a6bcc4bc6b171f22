"""What can go wrong, the tests that show it doesn't, the figures: docs/reliability.md comes out.

``catalogue`` reads the rows, ``marks`` finds the tests that claim them, ``figures`` and
``measures/`` measure, ``document`` writes it down.
"""
