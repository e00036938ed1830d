"""One module per client: what is patched in it, at the classes, so that clients made before are protected as well."""
