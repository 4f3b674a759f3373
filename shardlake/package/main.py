"""A package's entry point: what Flink there runs."""

from __future__ import annotations

from shardlake.flink.packaged import main

if __name__ == "__main__":
    main()
