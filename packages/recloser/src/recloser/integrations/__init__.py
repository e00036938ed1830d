"""Breakers where people's code already is. Each module needs what it is named after, and nothing imports it here."""
