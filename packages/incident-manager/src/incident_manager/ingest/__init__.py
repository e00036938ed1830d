"""What senders write, read into alerts: one adapter for each wire format."""
