"""Who may do what: tokens with roles, how they are checked, and how much each may ask for."""
