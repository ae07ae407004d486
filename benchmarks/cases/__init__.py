"""The benchmark cases: what is measured, what the figures mean, and whether they meet their targets."""
