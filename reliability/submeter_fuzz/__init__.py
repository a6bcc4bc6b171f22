"""Bytes in, what submeter parses and doesn't control: a value out, or the error it documents.

``surfaces`` is the table; ``fuzzed`` fuzzes one of them with atheris; ``counts`` keeps how many
inputs each has had. The corpus of each is in reliability/corpus, small, one file an input.
"""
