"""Models: trained, calibrated, kept in versions and stages; ``lk.models`` is :mod:`.registry`."""
