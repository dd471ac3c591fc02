"""The commands of ``pingyi``, one module each; ``deploy.local.cli`` lists them."""
