"""`python -m inpaintzoo` is the `inpaintzoo` command."""

import sys

from inpaintzoo.commands import main

if __name__ == "__main__":
    sys.exit(main())
