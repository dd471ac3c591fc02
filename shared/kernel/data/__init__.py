"""The committed registry files; read them through `shared.kernel.regions` and `shared.kernel.units`."""
