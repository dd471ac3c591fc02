"""Technology that plays the roles of `application.ports`."""
