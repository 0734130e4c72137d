"""Numbers → issues. One file per finder; a finder is a function from facts to a table."""
