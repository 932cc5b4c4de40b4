"""`python -m gecko_hf` is `gecko-hf`."""

from gecko_hf.cli.main import main

main()
