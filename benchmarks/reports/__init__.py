"""What the figures mean, and whether they meet their targets."""
