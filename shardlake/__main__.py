"""`python -m shardlake` is `shardlake`."""

from shardlake.cli.main import main

main()
