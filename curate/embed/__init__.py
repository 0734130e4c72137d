"""Pixels become numbers: each original file is opened once, here. See docs/embed.md."""
