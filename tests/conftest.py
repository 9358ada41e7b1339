"""Settings for all tests. Fixtures that plugins may use as well are in ``gateway.testing``."""

import os

from hypothesis import HealthCheck, settings

# A shared machine stalls now and then: an example that takes long is no failure. CI repeats the same examples, people search for new ones.
settings.register_profile("here", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("here"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "here")
