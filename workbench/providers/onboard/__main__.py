"""`python -m workbench.providers.onboard`: a worker process; it speaks the protocol of `process`, not to people."""

from workbench.providers.onboard.process import main

main()
