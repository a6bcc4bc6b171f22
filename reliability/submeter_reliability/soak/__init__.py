"""A soak: the agent for an hour on a node where processes, clients and faults come and go."""
