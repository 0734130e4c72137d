"""Issues → people → decisions: one ranked queue, pages to review it on, and the ledger that keeps each verdict."""
