"""A plugin-based API gateway and load balancer on gevent workers."""
