"""What people decided: the ledger, and how decisions follow files that move."""
