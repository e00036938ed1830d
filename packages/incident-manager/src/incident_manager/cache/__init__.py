"""A cache of what is read: the service is slower without it, and never wrong with it."""
