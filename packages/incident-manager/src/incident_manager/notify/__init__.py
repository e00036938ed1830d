"""Delivering notifications: who is told, how each kind of destination is spoken to, and what never drops one."""
