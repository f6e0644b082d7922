"""`python -m luban.cli` is the command line, as `python -m luban` is."""

from luban.cli.main import main

if __name__ == "__main__":
    main()
