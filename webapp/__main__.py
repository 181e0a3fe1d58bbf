"""`python -m webapp` is `rill`."""

from webapp.cli import main

main()
