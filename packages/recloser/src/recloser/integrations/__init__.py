"""Protection for clients people already use: one module per client, each needs its own extra."""
