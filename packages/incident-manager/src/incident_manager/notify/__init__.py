"""Delivering notifications: who is told, how each kind of destination is spoken to, and the dispatcher that never drops one."""
