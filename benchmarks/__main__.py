"""`make bench`."""

from benchmarks.load.run import main

main()
