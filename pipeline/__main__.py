"""``python -m pipeline``: the command line, the same as ``crylens``."""

from pipeline.cli import main

if __name__ == "__main__":
    main()
