"""Ways into intake: HTTP requests and the feedback stream."""
