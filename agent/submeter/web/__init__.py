"""The live page, the API and the HTTP server that serves them and the pull exporters."""
