"""A report for people and for machines: terminal, HTML, JSON."""
