"""Technology behind the roles of notify: broker, fold, channels."""
