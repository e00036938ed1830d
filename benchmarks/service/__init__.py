"""How many alerts the incident manager takes, beside a bare endpoint; and how fast while what it depends on fails."""
