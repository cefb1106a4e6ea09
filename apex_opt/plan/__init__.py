"""Where a plan is found: enumerate replicas, solve, simulate, certify, rank."""
