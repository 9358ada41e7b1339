"""What a plugin is, where it can act, and what is called when."""
