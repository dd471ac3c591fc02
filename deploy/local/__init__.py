"""The one-machine runner: embedded servers, supervisor and the ``pingyi`` command line."""
