"""Numbers in, numbers out: the CP-SAT models and their verifiers. Knows nothing of serving."""
