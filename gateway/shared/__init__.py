"""What the processes of a node share: memory mapped before the fork."""
