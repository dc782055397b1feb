"""`python -m neurodata`, the same as the command `neurodata`."""

import sys

from neurodata.cli import main

if __name__ == "__main__":
    sys.exit(main())
