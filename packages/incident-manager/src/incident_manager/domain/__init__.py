"""What an alert and an incident are, and what may happen to them. Pure: no I/O, no clock, nothing of ours imported."""
