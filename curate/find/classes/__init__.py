"""Issues of whole classes: imbalance, overlap, shortcuts."""
