"""What the circuit breakers went through: recorded, kept in the store, and summed up."""
