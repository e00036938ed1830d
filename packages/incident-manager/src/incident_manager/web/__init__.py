"""The pages that people look at: rendered here, kept up to date by a small script, usable without it."""
