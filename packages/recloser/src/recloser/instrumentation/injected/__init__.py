"""A folder on the module path of programs under `recloser run`, for the one file in it."""
