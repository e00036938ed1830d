"""What protection costs: recloser, its peers and the physical floor, measured side by side. Run ``make bench``."""
