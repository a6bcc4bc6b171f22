"""Threads, signals, lifecycle: the only room that starts threads."""
