"""`python -m ulmfit_nb VERB`: the `ulmfit` command, also from a checkout in which nothing is installed."""
import sys

from ulmfit_nb.cli import main

sys.exit(main())
