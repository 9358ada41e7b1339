"""From a configuration to the snapshot that workers run from: compile, compare, store, load."""
