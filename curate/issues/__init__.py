"""What an issue is: its kind, flags, groups and reasons."""
