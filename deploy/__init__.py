"""How the platform is provisioned and run; may import services and shared."""
