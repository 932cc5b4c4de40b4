"""The demo page: `app.py` runs here over a run folder, and on the Hub as a Space over two repositories."""
