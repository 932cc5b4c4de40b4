"""The arrows of the pipeline, one a file: each reads what the one before it wrote, and writes what the next one reads."""
