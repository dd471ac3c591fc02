"""The same telemetry, health and HTTP behaviour for every service, from one place.

A service's `bootstrap` does four things: `logging.configure_logging`, a `metrics.ServiceMetrics`, a
`health.Health`, and `http.install(app, …)`; background work runs under `lifecycle.TaskSupervisor`, and
`server.run_service` serves it.
"""
