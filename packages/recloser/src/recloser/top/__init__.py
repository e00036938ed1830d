"""`recloser top`: the breakers of running programs as a table that is kept up to date."""
