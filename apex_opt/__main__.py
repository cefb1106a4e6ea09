"""`python -m apex_opt` is `apexopt`."""

from apex_opt.cli.app import main

main()
