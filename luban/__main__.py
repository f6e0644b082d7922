"""`python -m luban` is the command line."""

from luban.cli.main import main

main()
