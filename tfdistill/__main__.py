"""`python -m tfdistill` is `tfdistill`."""

import sys

from tfdistill.cli import main

if __name__ == "__main__":
    sys.exit(main())
