"""Property tests are bounded, and the same in every run."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "neurodata",
    derandomize=True,
    max_examples=60,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("neurodata")
