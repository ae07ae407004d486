"""How a report is shown: as an HTML page, and on a terminal."""
