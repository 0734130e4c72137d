"""One verb per command: read tables from the workspace, call the stage's functions, write what they return.

Only here do the workspace and the stages meet. Each verb returns a small summary; `curate.cli` prints it.
"""
