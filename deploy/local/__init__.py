"""The one-machine runner: embedded servers, supervisor, demo and the command line."""
