"""One module per subcommand of ``gateway``; see ``gateway.cli``."""
