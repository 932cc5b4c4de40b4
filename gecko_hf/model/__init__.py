"""The encoder and its vectors."""
