"""The command line: words to options, one verb, its report, an exit status."""
