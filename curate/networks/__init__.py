"""What looks at pixels: networks, weights, and what runs them."""
