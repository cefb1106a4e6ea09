"""What a step costs: operators, collectives, memory, power, price."""
