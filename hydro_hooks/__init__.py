"""Records why an installation was created, enabled, disabled or destroyed."""
